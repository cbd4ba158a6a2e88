"""The FID network against those of torch-fidelity and pytorch-fid, with the same random weights."""

import pytest
import torch
from evaluation.extractors.random_weights import draw_pictures, fid_state_dict

from genlib.data.images import to_float
from genlib.errors import InputError
from genlib.evaluation.extractors import load_extractor
from genlib.evaluation.extractors.inception import BLOCKS, rename_blocks

SIZES = [(32, 32), (64, 64), (227, 128)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    torch.save(fid_state_dict(), path)
    return path


def name_blocks(state):
    """Under the names of pytorch-fid's `InceptionV3`, which has no logits."""
    places = {name: f"blocks.{block}.{index}" for block, names in BLOCKS.items() for index, name in enumerate(names)}
    own = {key.partition("."): value for key, value in state.items() if not key.startswith("fc.")}
    return {f"{places[layer]}.{rest}": value for (layer, _, rest), value in own.items()}


def test_the_state_dict_has_the_tensors_of_the_published_file():
    state = fid_state_dict()
    assert len(state) == 566 and state["fc.weight"].shape == (1008, 2048)
    trained = sum(each.numel() for key, each in state.items() if "running" not in key and "num_batches" not in key)
    assert trained == 23_834_568 + 8 * 2049  # of torchvision's without its second head, and eight classes more


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_features_and_logits_are_those_of_torch_fidelity(height, width, weights):
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    layers, file = ["2048", "logits_unbiased"], {"feature_extractor_weights_path": str(weights)}
    theirs = module.FeatureExtractorInceptionV3("x", layers, **file)
    pixels, ours = draw_pictures(3, height, width), load_extractor(f"inception:{weights}").network
    with torch.no_grad():
        features, logits = theirs(pixels)
        found = ours.features(to_float(pixels))
        torch.testing.assert_close(found, features, rtol=0, atol=1e-5)
        torch.testing.assert_close(ours.head(found), logits, rtol=0, atol=1e-5)
    assert features.std(0).mean() > 1e-2  # they differ between images


def test_features_are_those_of_pytorch_fid_where_images_are_resized_its_way(weights, monkeypatch):
    inception = pytest.importorskip("pytorch_fid.inception", reason="it is not installed: make peers")
    state = torch.load(weights, weights_only=True)
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: state)
    theirs = inception.InceptionV3([3]).eval()
    torch.save(theirs.state_dict(), weights.with_name("blocks.pth"))
    pixels = draw_pictures(2, 64, 48)
    with torch.no_grad():
        expected = theirs(pixels.float() / 255)[0].flatten(1)
        for file in ("weights.pth", "blocks.pth"):
            ours = load_extractor(f"inception_pytorch_fid:{weights.with_name(file)}").network
            torch.testing.assert_close(ours.features(to_float(pixels)), expected, rtol=0, atol=1e-5)


def test_the_names_of_blocks_lead_to_the_same_network(weights, tmp_path):
    state = torch.load(weights, weights_only=True)
    blocks = name_blocks(state)
    assert len(blocks) == 564 and rename_blocks(blocks).keys() == state.keys() - {"fc.weight", "fc.bias"}
    torch.save(blocks, tmp_path / "blocks.pth")
    x = to_float(draw_pictures(2, 20, 20, channels=1))
    one, other = (load_extractor(f"inception:{path}").network for path in (weights, tmp_path / "blocks.pth"))
    with torch.no_grad():
        assert torch.equal(one.features(x), other.features(x))
        assert other(x).shape == (2, 1) and one(x).shape == (2, 1008)


def test_the_card_has_the_hash_of_the_file_and_the_way_of_resizing(weights):
    from genlib.files import file_sha256

    for name, way in (("inception", "tensorflow1"), ("inception_clean", "antialiased_bicubic")):
        found = load_extractor(f"{name}:{weights}")
        assert found.name == name
        assert found.extra == {"weights": "weights.pth", "sha256": file_sha256(weights), "resize": f"{way}, 299"}


def test_torchvisions_own_inception_is_refused(tmp_path):
    state = fid_state_dict()
    state["fc.weight"] = torch.zeros(1000, 2048)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"those of the FID network .*1008.* expected weights-inception"):
        load_extractor(f"inception:{tmp_path}/w.pth")
