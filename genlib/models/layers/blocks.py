"""Networks from an image to a vector and back: convolutional, residual, or multilayer perceptrons. No layer depends on
the rest of the batch, so results do not depend on the number of workers."""

from itertools import pairwise
from math import gcd, prod
from typing import Literal, cast

from torch import Tensor, nn

from genlib.models.layers.cpu.group_norm import GroupNorm
from genlib.models.layers.cpu.matmul_conv import GrayConv2d, GrayConvTranspose2d

Shape = tuple[int, int, int]  # channels, height, width
Backbone = Literal["dcgan", "residual", "mlp"]  # the mlp takes images of any size, the others from MIN_IMAGE_SIZE on
MIN_IMAGE_SIZE = 8  # pixels


def check_shape(shape: Shape) -> None:
    if min(shape[1:]) < MIN_IMAGE_SIZE:
        raise ValueError(f"shape: got {shape[1]}x{shape[2]} pixels, expected at least {MIN_IMAGE_SIZE} a side")


def num_downsamples(shape: Shape) -> int:
    """How often the shorter side halves and stays at 4 pixels or more: 1 for 8, 2 for 16 and 28, 3 for 32, 4 for 64."""
    check_shape(shape)
    return (min(shape[1:]) // 4).bit_length() - 1


def channel_schedule(width: int, levels: int, max_mult: int = 4) -> list[int]:
    """Channels from the finest level to the coarsest: width, 2 width, 4 width, ..., at most `max_mult` width."""
    return [width * min(2**level, max_mult) for level in range(levels)]


class ResidualBlock(nn.Module):
    """past(x) + scale * f(x), f the `layers` in their order; `past` is the identity where there is none."""

    def __init__(self, *layers: nn.Module, past: nn.Module | None = None, scale: float = 1.0) -> None:
        super().__init__()
        self.past = past or nn.Identity()
        self.f = nn.Sequential(*layers)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        change = self.f(x) if self.scale == 1 else self.scale * self.f(x)
        return cast(Tensor, self.past(x) + change)


class Crop(nn.Module):
    """The upper left corner of that height and width."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.height, : self.width]


def group_norm(width: int, min_channels: int = 1) -> GroupNorm:
    """Over 8 groups of at least `min_channels` channels, or over fewer where 8 do not divide them."""
    return GroupNorm(gcd(8, width, width // min_channels), width)


def residual_conv(width: int, *norm: nn.Module) -> ResidualBlock:
    """x + a 3x3 convolution of the rectified x, normalised first where `norm` is given."""
    return ResidualBlock(*norm, nn.LeakyReLU(0.2), nn.Conv2d(width, width, 3, padding=1))


def scaled_residual(in_channels: int, out_channels: int) -> ResidualBlock:
    """x + f(x) / 10, f two rectified 3x3 convolutions; a 1x1 convolution takes x past where the width changes. The
    small step stands in for normalisation (Mescheder, Geiger and Nowozin 2018, their ResNets)."""
    past = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1, bias=False)
    first, second = (nn.Conv2d(wide, out_channels, 3, padding=1) for wide in (in_channels, out_channels))
    return ResidualBlock(nn.LeakyReLU(0.2), first, nn.LeakyReLU(0.2), second, past=past, scale=0.1)


def linear_from_map(shape: Shape, levels: int, channels: int, outputs: int) -> nn.Linear:
    """The last layer of an encoder: from a flattened map of `channels`, its sides halved `levels` times."""
    return nn.Linear(channels * prod(side >> levels for side in shape[1:]), outputs)


def linear_to_map(shape: Shape, levels: int, channels: int, inputs: int) -> list[nn.Module]:
    """The first layers of a decoder: to a map whose sides, doubled `levels` times, are at least those of `shape`."""
    base = (channels, *(-(-side // 2**levels) for side in shape[1:]))
    return [nn.Linear(inputs, prod(base)), nn.Unflatten(1, base)]


def conv_encoder(shape: Shape, width: int, outputs: int, max_mult: int = 4) -> nn.Sequential:
    """Image [n, C, H, W] -> vector [n, outputs]: convolutions of stride 2, the coarser ones refined; a linear layer."""
    levels = num_downsamples(shape)
    channels = [shape[0], *channel_schedule(width, levels, max_mult)]
    layers: list[nn.Module] = []
    for level, (wide, wider) in enumerate(pairwise(channels)):
        refine = [residual_conv(wider)] if level else []
        halve = nn.Conv2d if level else GrayConv2d
        layers += [halve(wide, wider, 4, stride=2, padding=1), *refine, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), linear_from_map(shape, levels, channels[-1], outputs))


def conv_decoder(shape: Shape, latent: int, width: int, max_mult: int = 4) -> nn.Sequential:
    """Vector [n, latent] -> image-shaped map [n, C, H, W], the mirror of `conv_encoder`, normalised within each image.
    What 2^k does not divide is rounded up, then cropped."""
    levels = num_downsamples(shape)
    channels = [*reversed(channel_schedule(width, levels, max_mult)), shape[0]]
    layers = linear_to_map(shape, levels, channels[0], latent)
    for level, (wide, narrow) in zip(reversed(range(levels)), pairwise(channels), strict=True):
        refine = [residual_conv(wide, group_norm(wide))] if level else []
        double = nn.ConvTranspose2d if level else GrayConvTranspose2d
        layers += [*refine, group_norm(wide), nn.ReLU(), double(wide, narrow, 4, 2, 1)]
    return nn.Sequential(*layers, Crop(*shape[1:]))


def residual_encoder(shape: Shape, width: int, outputs: int, max_mult: int = 4) -> nn.Sequential:
    """The mirror of `residual_decoder`: sides are halved by averaging. Without normalisation."""
    levels = num_downsamples(shape)
    channels = [width, *channel_schedule(width, levels, max_mult)]
    layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 3, padding=1)]
    for wide, wider in pairwise(channels):
        layers += [scaled_residual(wide, wider), nn.AvgPool2d(2)]
    last = linear_from_map(shape, levels, channels[-1], outputs)
    return nn.Sequential(*layers, nn.LeakyReLU(0.2), nn.Flatten(), last)


def residual_decoder(shape: Shape, latent: int, width: int, max_mult: int = 4) -> nn.Sequential:
    """Vector [n, latent] -> [n, C, H, W]: a linear layer, then a residual block and a doubling of the side a level."""
    levels = num_downsamples(shape)
    channels = [*reversed(channel_schedule(width, levels, max_mult)), width]
    layers = linear_to_map(shape, levels, channels[0], latent)
    for wide, narrow in pairwise(channels):
        layers += [scaled_residual(wide, narrow), nn.Upsample(scale_factor=2)]
    return nn.Sequential(*layers, nn.LeakyReLU(0.2), nn.Conv2d(width, shape[0], 3, padding=1), Crop(*shape[1:]))


def mlp(*sizes: int) -> nn.Sequential:
    """Linear layers from sizes[0] to sizes[-1], rectified in between."""
    layers = [layer for wide, narrow in pairwise(sizes) for layer in (nn.LeakyReLU(0.2), nn.Linear(wide, narrow))]
    return nn.Sequential(*layers[1:])


def mlp_encoder(shape: Shape, width: int, outputs: int, max_mult: int = 4) -> nn.Sequential:
    """Layers of `width` units at any size of the image, whatever `max_mult`; so `mlp_decoder`."""
    return nn.Sequential(nn.Flatten(), *mlp(prod(shape), width, width, width, outputs))


def mlp_decoder(shape: Shape, latent: int, width: int, max_mult: int = 4) -> nn.Sequential:
    return nn.Sequential(*mlp(latent, width, width, width, prod(shape)), nn.Unflatten(1, shape))


ENCODERS = {"dcgan": conv_encoder, "residual": residual_encoder, "mlp": mlp_encoder}
DECODERS = {"dcgan": conv_decoder, "residual": residual_decoder, "mlp": mlp_decoder}
