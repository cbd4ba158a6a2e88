"""Blocks of two or more models: image -> vector and vector -> image by halving and doubling, and sampling in chunks.

Nothing here looks across the batch, so that two workers with half a batch each equal one with the whole.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import gcd

import torch
from torch import Tensor, nn

from genlib.data.batches import seeded_generator
from genlib.models.layers.cpu.group_norm import GroupNorm
from genlib.models.layers.cpu.matmul_conv import GrayConv2d, GrayConvTranspose2d

CHUNK_SIZE = 500  # images decoded at a time
MIN_IMAGE_SIZE = 8  # pixels


def check_shape(shape: tuple[int, int, int]) -> None:
    if min(shape[1:]) < MIN_IMAGE_SIZE:
        raise ValueError(f"shape must have sides of at least {MIN_IMAGE_SIZE} pixels, found {shape[1]}x{shape[2]}")


def num_downsamples(shape: tuple[int, int, int]) -> int:
    """How often the shorter side halves and stays at 4 pixels or more: 1 for 8, 2 for 16 and 28, 3 for 32, 4 for 64."""
    return (min(shape[1:]) // 4).bit_length() - 1


def channel_schedule(width: int, levels: int) -> list[int]:
    """Channels from the finest level to the coarsest: width, 2 width, 4 width, 4 width, ..."""
    return [width * 2 ** min(level, 2) for level in range(levels)]


class ResidualConv(nn.Module):
    """x + a 3x3 convolution of the rectified x, normalised first where `norm` is given."""

    def __init__(self, width: int, *norm: nn.Module) -> None:
        super().__init__()
        self.f = nn.Sequential(*norm, nn.LeakyReLU(0.2), nn.Conv2d(width, width, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = x + self.f(x)
        return total


def conv_encoder(shape: tuple[int, int, int], width: int, outputs: int) -> nn.Sequential:
    """Image [n, C, H, W] -> vector [n, outputs]: convolutions of stride 2, the coarser ones refined; a linear layer."""
    channels = [shape[0], *channel_schedule(width, num_downsamples(shape))]
    layers: list[nn.Module] = []
    for level, (wide, wider) in enumerate(pairwise(channels)):
        refine = [ResidualConv(wider)] if level else []
        halve = nn.Conv2d if level else GrayConv2d
        layers += [halve(wide, wider, 4, stride=2, padding=1), *refine, nn.LeakyReLU(0.2)]
    height, breadth = (side >> num_downsamples(shape) for side in shape[1:])
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * height * breadth, outputs))


def group_norm(width: int) -> GroupNorm:
    """Over 8 groups of channels, or as many fewer as divide them."""
    return GroupNorm(gcd(8, width), width)


class ConvDecoder(nn.Sequential):
    """Vector [n, latent] -> image-shaped map [n, C, H, W]: a linear layer, then transposed convolutions of stride 2.

    The mirror of `encoder`, normalised within each image. Sides that 2^k does not divide are rounded up and cropped.
    """

    def __init__(self, shape: tuple[int, int, int], latent: int, width: int) -> None:
        levels = num_downsamples(shape)
        channels = [*reversed(channel_schedule(width, levels)), shape[0]]
        base = (channels[0], *(-(-side // 2**levels) for side in shape[1:]))
        layers: list[nn.Module] = [nn.Linear(latent, base[0] * base[1] * base[2]), nn.Unflatten(1, base)]
        for level, (wide, narrow) in zip(reversed(range(levels)), pairwise(channels), strict=True):
            refine = [ResidualConv(wide, group_norm(wide))] if level else []
            double = nn.ConvTranspose2d if level else GrayConvTranspose2d
            layers += [*refine, group_norm(wide), nn.ReLU(), double(wide, narrow, 4, 2, 1)]
        super().__init__(*layers)
        self.shape = shape

    def forward(self, z: Tensor) -> Tensor:
        for layer in self:
            z = layer(z)
        return z[..., : self.shape[1], : self.shape[2]]


@torch.no_grad()
def sample_from(decode: Callable[[Tensor], Tensor], model: nn.Module, latent: int, n: int, seed: int) -> Tensor:
    """`n` images decode(z), z ~ N(0, 1), drawn and decoded a chunk at a time: a longer sample begins with a shorter."""
    generator = seeded_generator(seed, "sample")
    device = next(model.parameters()).device
    chunks = [
        torch.randn(CHUNK_SIZE, latent, generator=generator)[: n - start] for start in range(0, n or 1, CHUNK_SIZE)
    ]
    return torch.cat([decode(z.to(device)).float() for z in chunks])


@torch.no_grad()
def sample_labelled(
    decode: Callable[[Tensor, Tensor], Tensor],
    model: nn.Module,
    latent: int,
    classes: int,
    n: int,
    seed: int,
    y: Tensor | None,
) -> Tensor:
    """`n` images decode(z, y) as `sample_from` draws them; without y, of classes drawn uniformly."""
    drawn = torch.randint(classes, (n,), generator=seeded_generator(seed, "labels")) if y is None else y
    parts = iter(torch.split(drawn.to(next(model.parameters()).device), CHUNK_SIZE))
    return sample_from(lambda z: decode(z, next(parts)), model, latent, n, seed)
