"""What turns an image of one domain into one of another: residual translators, patch discriminators, image pools.

The networks of Zhu, Park, Isola and Efros 2017, "Unpaired image-to-image translation using cycle-consistent adversarial
networks", at 8 to 64 pixels. They normalise groups of channels within an image.
"""

from __future__ import annotations

from math import gcd

import torch
from torch import Tensor, nn

from genlib.models.layers.blocks import num_downsamples
from genlib.models.layers.cpu.group_norm import GroupNorm

POOL_SIZE = 50
SKIP_SCALE = 2.0


def paired_group_norm(width: int) -> GroupNorm:
    """Over at most 8 groups of two channels or more: one normalised alone would lose its bias to rounding."""
    return GroupNorm(gcd(8, width, width // 2), width)


class ResidualBlock(nn.Module):
    """x + f(x), f two 3x3 convolutions after normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        wide, deep = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.f = nn.Sequential(paired_group_norm(width), nn.ReLU(), wide, nn.ReLU(), deep)

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = x + self.f(x)
        return total


class Translator(nn.Module):
    """Image -> image in [-1, 1] of the same shape: tanh(2 x + f(x)).

    f halves the sides once (twice from 32 pixels on, never at 8), passes `blocks` residual blocks and doubles them
    again. It begins at a hundredth of its usual size, so that the first translations are nearly the images themselves.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, blocks: int) -> None:
        super().__init__()
        levels = min(2, num_downsamples(shape) - 1)
        wide = [width * 2**level for level in range(levels + 1)]
        down = [_downsample(wide[level], wide[level + 1]) for level in range(levels)]
        body = [ResidualBlock(wide[-1]) for _ in range(blocks)]
        up = [_upsample(wide[level + 1], wide[level]) for level in reversed(range(levels))]
        last = nn.Conv2d(width, shape[0], 5, padding=2)
        self.f = nn.Sequential(
            nn.Conv2d(shape[0], width, 5, padding=2), *down, *body, *up, paired_group_norm(width), nn.ReLU(), last
        )
        with torch.no_grad():
            last.weight.mul_(0.01)
            last.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        moved: Tensor = self.f(x)
        return torch.tanh(SKIP_SCALE * x + moved[..., :height, :width])


def _downsample(narrow: int, wide: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(narrow, wide, 3, stride=2, padding=1))


def _upsample(wide: int, narrow: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1))


def patch_discriminator(shape: tuple[int, int, int], width: int) -> nn.Sequential:
    """Image -> logits [n, 1, h, w], each of one patch being real.

    One convolution of stride 2, or two from 32 pixels on, then two of stride 1: the patches overlap and have 12 or 26
    pixels a side. Where they hold a whole digit, translations change their class more often: of handwritten and printed
    digits at 16 pixels, 81 and 88 % of the labels were kept with patches of 26, but 94 and 98 % with patches of 12.
    """
    strided = 1 if num_downsamples(shape) < 3 else 2
    layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for _ in range(strided - 1):
        layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), paired_group_norm(2 * width), nn.LeakyReLU(0.2)]
        width *= 2
    layers += [nn.Conv2d(width, 2 * width, 3, padding=1), paired_group_norm(2 * width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(2 * width, 1, 3, padding=1))


class ImagePool(nn.Module):
    """The last translations that a discriminator has seen (Shrivastava et al. 2017, "Learning from simulated and
    unsupervised images through adversarial training"): `images` float [50, C, H, W].

    It is a buffer, so a checkpoint holds it.
    """

    images: Tensor

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(POOL_SIZE, *shape))

    def query(self, generated: Tensor, num_seen: int, generator: torch.Generator) -> Tensor:
        """What the discriminator is shown instead of `fakes` [n, C, H, W], when `seen` fakes went before.

        While the pool is not full, the fakes themselves, of which the first fill it. Then half of the rows are
        swapped with as many slots of the pool, at most all 50.
        """
        if num_seen < POOL_SIZE:
            first = generated[: POOL_SIZE - num_seen]
            self.images[num_seen : num_seen + len(first)] = first
            return generated
        half = min(len(generated) // 2, POOL_SIZE)
        rows, slots = (
            torch.randperm(n, generator=generator)[:half].to(generated.device) for n in (len(generated), POOL_SIZE)
        )
        shown = generated.clone()
        shown[rows] = self.images[slots]
        self.images[slots] = generated[rows]
        return shown
