"""Generator and discriminator networks by name: from a vector to an image, and from an image to a vector.

None normalises over the batch, and the image-to-vector half does not normalise at all.
"""

from collections.abc import Callable
from itertools import pairwise
from math import prod
from typing import Literal

from torch import nn

from genlib.models.layers.blocks import (
    Crop,
    ResidualBlock,
    Shape,
    channel_schedule,
    conv_decoder,
    conv_encoder,
    linear_from_map,
    linear_to_map,
    num_downsamples,
)
from genlib.validation import require_one_of

Backbone = Literal["dcgan", "residual", "mlp"]


def scaled_residual(in_channels: int, out_channels: int) -> ResidualBlock:
    """x + f(x) / 10, f two rectified 3x3 convolutions; a 1x1 convolution takes x past where the width changes.

    The small step stands in for normalisation (Mescheder, Geiger and Nowozin 2018, their ResNets).
    """
    past = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1, bias=False)
    first, second = (nn.Conv2d(wide, out_channels, 3, padding=1) for wide in (in_channels, out_channels))
    return ResidualBlock(nn.LeakyReLU(0.2), first, nn.LeakyReLU(0.2), second, past=past, scale=0.1)


def residual_decoder(shape: Shape, latent: int, width: int) -> nn.Sequential:
    """Vector [n, latent] -> [n, C, H, W]: a linear layer, then a residual block and a doubling of the side a level."""
    levels = num_downsamples(shape)
    channels = [*reversed(channel_schedule(width, levels)), width]
    layers = linear_to_map(shape, levels, channels[0], latent)
    for wide, narrow in pairwise(channels):
        layers += [scaled_residual(wide, narrow), nn.Upsample(scale_factor=2)]
    return nn.Sequential(*layers, nn.LeakyReLU(0.2), nn.Conv2d(width, shape[0], 3, padding=1), Crop(*shape[1:]))


def residual_encoder(shape: Shape, width: int, outputs: int) -> nn.Sequential:
    """Image -> vector [n, outputs], the mirror of `residual_decoder`: sides are halved by averaging."""
    levels = num_downsamples(shape)
    channels = [width, *channel_schedule(width, levels)]
    layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1)]
    for wide, wider in pairwise(channels):
        layers += [scaled_residual(wide, wider), nn.AvgPool2d(2)]
    last = linear_from_map(shape, levels, channels[-1], outputs)
    return nn.Sequential(*layers, nn.LeakyReLU(0.2), nn.Flatten(), last)


def mlp_trunk(inputs: int, width: int) -> list[nn.Module]:
    """Three rectified layers [n, inputs] -> [n, width]."""
    pairs = [(nn.Linear(wide, width), nn.LeakyReLU(0.2)) for wide in (inputs, width, width)]
    return [layer for pair in pairs for layer in pair]


def mlp_decoder(shape: Shape, latent: int, width: int) -> nn.Sequential:
    return nn.Sequential(*mlp_trunk(latent, width), nn.Linear(width, prod(shape)), nn.Unflatten(1, shape))


def mlp_encoder(shape: Shape, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), *mlp_trunk(prod(shape), width), nn.Linear(width, outputs))


DECODERS: dict[Backbone, Callable[[Shape, int, int], nn.Sequential]] = {
    "dcgan": conv_decoder,
    "residual": residual_decoder,
    "mlp": mlp_decoder,
}
ENCODERS: dict[Backbone, Callable[[Shape, int, int], nn.Sequential]] = {
    "dcgan": conv_encoder,
    "residual": residual_encoder,
    "mlp": mlp_encoder,
}


def build_decoder(net: Backbone, shape: Shape, latent: int, width: int) -> nn.Sequential:
    """The multilayer perceptron takes images of any size, down to one pixel, the others from 8 pixels a side."""
    require_one_of(Backbone, net=net)
    return DECODERS[net](shape, latent, width)
