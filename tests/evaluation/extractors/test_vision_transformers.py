"""DINOv2 and CLIP against transformers, with random weights; and the names of their authors against ours."""

import pytest
import torch
from evaluation.extractors.random_weights import draw_pictures
from safetensors.torch import save_file

from genlib.data.images import to_float
from genlib.errors import InputError
from genlib.evaluation.extractors import load_extractor
from genlib.evaluation.extractors.vision_transformer import HEAD_WIDTH, Variant, VisionTransformer

NEEDS = "transformers is not installed: make peers"


def randomize(network, std=0.1):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            weights.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, std, generator=generator)
    return network.eval()


def check_against(theirs, path, spec, expected):
    """Saved by theirs, and with its own preparation left to ours."""
    save_file({key: each.contiguous() for key, each in theirs.state_dict().items()}, path)
    found = load_extractor(f"{spec}:{path}").network
    x = found.normalise(to_float(draw_pictures(3, 40, 60)))
    with torch.no_grad():
        features = expected(theirs, x)
        torch.testing.assert_close(found.body(x), features, rtol=1e-4, atol=1e-4)
    assert features.std(0).mean() > 1e-3


@pytest.mark.parametrize("image_size", [224, 518], ids=["positions as they are", "positions interpolated"])
def test_dinov2_is_that_of_transformers(image_size, tmp_path):
    transformers = pytest.importorskip("transformers", reason=NEEDS)
    sizes = {"hidden_size": 2 * HEAD_WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = transformers.Dinov2Config(**sizes, image_size=image_size, patch_size=14)
    theirs = randomize(transformers.Dinov2Model(config))
    check_against(theirs, tmp_path / "w.safetensors", "dinov2", lambda net, x: net(x).last_hidden_state[:, 0])


def test_clip_is_that_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason=NEEDS)
    sizes = {"hidden_size": 2 * HEAD_WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "projection_dim": 24}
    config = transformers.CLIPVisionConfig(**sizes, intermediate_size=8 * HEAD_WIDTH, image_size=224, patch_size=32)
    theirs = randomize(transformers.CLIPVisionModelWithProjection(config))
    check_against(theirs, tmp_path / "w.safetensors", "clip", lambda net, x: net(x).image_embeds)


def as_dinov2_of_its_authors(ours):
    """The names of the published files."""
    names = {"class_token": "cls_token", "positions": "pos_embed", "patch": "patch_embed.proj"}
    names |= {"qkv": "attn.qkv", "out": "attn.proj", "scale1": "ls1.gamma", "scale2": "ls2.gamma"}
    names |= {"fc1": "mlp.fc1", "fc2": "mlp.fc2"}
    state = {".".join(names.get(part, part) for part in key.split(".")): own for key, own in ours.state_dict().items()}
    tokens = {"cls_token": state["cls_token"][None, None], "pos_embed": state["pos_embed"][None]}
    return state | tokens | {"mask_token": torch.zeros(1, 64)}


def as_clip_of_openai(ours, projection):
    names = {"class_token": "class_embedding", "positions": "positional_embedding", "patch": "conv1", "norm": "ln_post"}
    names |= {"norm_first": "ln_pre", "blocks": "transformer.resblocks", "norm1": "ln_1", "norm2": "ln_2"}
    names |= {"out": "attn.out_proj", "fc1": "mlp.c_fc", "fc2": "mlp.c_proj"}
    state = {
        "visual." + ".".join(names.get(part, part) for part in key.split(".")).replace("qkv.", "attn.in_proj_"): each
        for key, each in ours.state_dict().items()
    }
    return state | {"visual.proj": projection, "logit_scale": torch.ones(()), "ln_final.weight": torch.ones(64)}


def test_the_names_of_dinov2s_authors_lead_to_the_same_network(tmp_path):
    ours = randomize(VisionTransformer(64, 2, 14, 1 + 16 * 16, Variant(scaled=True), True))
    torch.save(as_dinov2_of_its_authors(ours), tmp_path / "w.pth")
    network = load_extractor(f"dinov2:{tmp_path}/w.pth").network
    x = network.normalise(to_float(draw_pictures(2, 30, 30, channels=1)))
    with torch.no_grad():
        assert torch.equal(network.body(x), ours(x))


def test_the_names_of_openai_lead_to_the_same_network(tmp_path):
    variant = Variant(norm_first=True, approximate=True, eps=1e-5)
    ours, projection = randomize(VisionTransformer(64, 2, 32, 1 + 7 * 7, variant, False)), torch.randn(64, 24)
    torch.save({key: each.half() for key, each in as_clip_of_openai(ours, projection).items()}, tmp_path / "w.pth")
    network = load_extractor(f"clip:{tmp_path}/w.pth").network
    x = network.normalise(to_float(draw_pictures(2, 30, 30)))
    with torch.no_grad():
        torch.testing.assert_close(network.body(x), ours(x) @ projection, rtol=1e-2, atol=1e-2)  # float16 in the file


@pytest.mark.parametrize(
    ("spec", "state", "found"),
    [
        ("dinov2", {"fc.weight": torch.zeros(2)}, "other weights than those of DINOv2"),
        ("clip", {"fc.weight": torch.zeros(2)}, "other weights than those of CLIP"),
        ("dinov2", {"blocks.0.norm1.weight": torch.zeros(2)}, "other weights than those of DINOv2"),
        ("clip", {"visual.class_embedding": torch.zeros(2)}, "CLIP"),
    ],
)
def test_other_weights_are_refused_in_one_line(spec, state, found, tmp_path):
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=found) as caught:
        load_extractor(f"{spec}:{tmp_path}/w.pth")
    assert "expected" in str(caught.value) and "\n" not in str(caught.value)
