"""Nets from a vector to an image and from an image to a vector, for whoever plays against another net.

Each pair of a kind mirrors each other; none normalises over the batch, the image-to-vector half not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from genlib.models.layers.blocks import ConvDecoder, channel_schedule, check_shape, conv_encoder, num_downsamples
from genlib.validation import require_one_of

Shape = tuple[int, int, int]
Backbone = Literal["dcgan", "residual", "mlp"]


class ResidualBlock(nn.Module):
    """x + f(x) / 10, f two rectified 3x3 convolutions; a 1x1 convolution takes x past where the width changes.

    The small step stands in for normalisation (Mescheder, Geiger and Nowozin 2018, their ResNets).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.past = (
            nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1, bias=False)
        )
        self.f = nn.Sequential(
            nn.LeakyReLU(0.2),
            nn.Conv2d(in_channels, out_channels, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = self.past(x) + 0.1 * self.f(x)
        return total


class Crop(nn.Module):
    """The upper left corner of that height and breadth."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.height, : self.width]


def residual_decoder(shape: Shape, latent: int, width: int) -> nn.Sequential:
    """Vector [n, latent] -> [n, C, H, W]: a linear layer, then a residual block and a doubling of the side a level."""
    levels = num_downsamples(shape)
    channels = [*reversed(channel_schedule(width, levels)), width]
    base = (channels[0], *(-(-side // 2**levels) for side in shape[1:]))
    layers: list[nn.Module] = [nn.Linear(latent, base[0] * base[1] * base[2]), nn.Unflatten(1, base)]
    for wide, narrow in pairwise(channels):
        layers += [ResidualBlock(wide, narrow), nn.Upsample(scale_factor=2)]
    return nn.Sequential(*layers, nn.LeakyReLU(0.2), nn.Conv2d(width, shape[0], 3, padding=1), Crop(*shape[1:]))


def residual_encoder(shape: Shape, width: int, outputs: int) -> nn.Sequential:
    """Image -> vector [n, outputs], the mirror of `residual_decoder`: sides are halved by averaging."""
    levels = num_downsamples(shape)
    channels = [width, *channel_schedule(width, levels)]
    layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1)]
    for wide, wider in pairwise(channels):
        layers += [ResidualBlock(wide, wider), nn.AvgPool2d(2)]
    height, breadth = (side >> levels for side in shape[1:])
    return nn.Sequential(*layers, nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(channels[-1] * height * breadth, outputs))


def mlp_trunk(inputs: int, width: int) -> nn.Sequential:
    """Three rectified layers [n, inputs] -> [n, width]."""
    layers = [(nn.Linear(wide, wider), nn.LeakyReLU(0.2)) for wide, wider in pairwise([inputs, width, width, width])]
    return nn.Sequential(*(layer for pair in layers for layer in pair))


def mlp_decoder(shape: Shape, latent: int, width: int) -> nn.Sequential:
    channels, height, breadth = shape
    return nn.Sequential(
        *mlp_trunk(latent, width), nn.Linear(width, channels * height * breadth), nn.Unflatten(1, shape)
    )


def mlp_encoder(shape: Shape, width: int, outputs: int) -> nn.Sequential:
    channels, height, breadth = shape
    return nn.Sequential(nn.Flatten(), *mlp_trunk(channels * height * breadth, width), nn.Linear(width, outputs))


DECODERS: dict[Backbone, Callable[[Shape, int, int], nn.Module]] = {
    "dcgan": ConvDecoder,
    "residual": residual_decoder,
    "mlp": mlp_decoder,
}
ENCODERS: dict[Backbone, Callable[[Shape, int, int], nn.Sequential]] = {
    "dcgan": conv_encoder,
    "residual": residual_encoder,
    "mlp": mlp_encoder,
}


def check_backbone(net: Backbone, shape: Shape) -> None:
    """Only the multilayer perceptron takes images of any size, down to one pixel."""
    require_one_of(Backbone, net=net)
    if net != "mlp":
        check_shape(shape)
