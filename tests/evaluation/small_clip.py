"""A small network in the place of published ones: CLIP's form, 24 features, random weights."""

import numpy as np
import torch
from evaluation.extractors.random_weights import draw_pictures
from PIL import Image

from genlib.evaluation.extractors import load_extractor
from genlib.evaluation.extractors.vision_transformer import Variant, VisionTransformer
from genlib.metrics.inputs import extract_features

FEATURES = 24


def write_weights(path):
    """As transformers' CLIPVisionModelWithProjection saves them, up to their names: OpenAI's."""
    generator = torch.Generator().manual_seed(0)
    network = VisionTransformer(64, 1, 32, 50, Variant(norm_first=True), False)
    names = {"class_token": "class_embedding", "positions": "positional_embedding", "patch": "conv1", "norm": "ln_post"}
    names |= {"norm_first": "ln_pre", "blocks": "transformer.resblocks", "norm1": "ln_1", "norm2": "ln_2"}
    names |= {"out": "attn.out_proj", "fc1": "mlp.c_fc", "fc2": "mlp.c_proj"}
    state = {"visual.proj": torch.randn(64, FEATURES, generator=generator)}
    for key, each in network.state_dict().items():
        name = ".".join(names.get(part, part) for part in key.split(".")).replace("qkv.", "attn.in_proj_")
        state[f"visual.{name}"] = 0.2 * torch.randn(each.shape, generator=generator)
    torch.save(state, path)
    return path


def write_pictures(folder, count, seed, *, size=(20, 24), channels=3):
    """PNG files; their pixels uint8 [count, C, height, width] in the order of the names."""
    folder.mkdir()
    pixels = draw_pictures(count, *size, channels=channels, seed=seed)
    for index, image in enumerate(pixels):
        array = image.permute(1, 2, 0).numpy()
        Image.fromarray(array if channels == 3 else array[:, :, 0]).save(folder / f"{index:03}.png")
    return pixels


def features_of(weights, pixels):
    from genlib.data.images import Images

    return extract_features(load_extractor(f"clip:{weights}").network, Images(pixels)).features


def write_statistics(path, features):
    """As pytorch-fid writes them."""
    x = features.double().numpy()
    np.savez(path, mu=x.mean(0), sigma=np.cov(x, rowvar=False))
    return path
