"""Files of weights drawn at random, of scales at which features differ between images."""

import torch
from torch import nn

from genlib.evaluation.extractors.inception import CLASSES, FEATURES, Inception


def draw_weights(network, seed=0):
    """`network` with weights that keep the scale of what passes through."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.2, 0.2),
                (module.running_var, 0.5, 1.5),
                (module.weight, 0.5, 1.5),
                (module.bias, -0.2, 0.2),
            ):
                nn.init.uniform_(tensor, low, high, generator=generator)
    return network.eval()


def fid_state_dict():
    """As torch-fidelity and pytorch-fid publish it: 566 tensors."""
    generator = torch.Generator().manual_seed(1)
    head = {"fc.weight": torch.randn(CLASSES, FEATURES, generator=generator) / FEATURES**0.5}
    return draw_weights(Inception()).state_dict() | head | {"fc.bias": torch.randn(CLASSES, generator=generator)}


def draw_pictures(count, height, width, channels=3, seed=0):
    """Smooth patterns, uint8 [count, C, height, width], which differ more than noise does."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 4, generator=generator)
    smooth = nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)
    return (255 * smooth).round().to(torch.uint8)
