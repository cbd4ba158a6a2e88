"""The networks of CycleGAN: residual translators, patch discriminators, and pools of translated images. Zhu, Park,
Isola and Efros 2017, "Unpaired image-to-image translation using cycle-consistent adversarial networks". Here they
normalise groups of at least two channels: a channel normalised alone would lose its bias to rounding."""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from genlib.models.layers import blocks
from genlib.models.layers.blocks import ResidualBlock, Shape, num_downsamples

POOL_SIZE = 50
SKIP_SCALE = 2.0

group_norm = partial(blocks.group_norm, min_channels=2)


def default_num_blocks(shape: Shape) -> int:
    """Residual blocks of a translator: 6, and 9 from 256 pixels a side on, as published; 2 for sides below 64."""
    side = min(shape[1:])
    return 2 if side < 64 else 6 if side < 256 else 9


class Translator(nn.Module):
    """Image -> image in [-1, 1] of the same shape: tanh(2 x + f(x)). f halves the sides once (twice from 32 pixels on,
    never at 8), applies `num_blocks` residual blocks and doubles them again. Its last layer begins at a hundredth of
    its usual size, so the first translations are nearly the images."""

    def __init__(self, shape: Shape, width: int, num_blocks: int) -> None:
        super().__init__()
        levels = min(2, num_downsamples(shape) - 1)
        channels = [width * 2**level for level in range(levels + 1)]
        down = [nn.Sequential(nn.ReLU(), nn.Conv2d(narrow, wide, 3, 2, 1)) for narrow, wide in pairwise(channels)]
        body = [_residual(channels[-1]) for _ in range(num_blocks)]
        rising = pairwise(reversed(channels))
        up = [nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(wide, narrow, 4, 2, 1)) for wide, narrow in rising]
        last = nn.Conv2d(width, shape[0], 5, padding=2)
        first = nn.Conv2d(shape[0], width, 5, padding=2)
        self.f = nn.Sequential(first, *down, *body, *up, group_norm(width), nn.ReLU(), last)
        with torch.no_grad():
            last.weight.mul_(0.01)
            last.bias.zero_()  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        change = self.f(x)[..., : x.shape[2], : x.shape[3]]
        return torch.tanh(SKIP_SCALE * x + change)


def _residual(width: int) -> ResidualBlock:
    first, second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
    return ResidualBlock(group_norm(width), nn.ReLU(), first, nn.ReLU(), second)


def patch_discriminator(shape: Shape, width: int) -> nn.Sequential:
    """Image -> logits [n, 1, h, w], each of one patch being real. The patches overlap and have 12 pixels a side, 26
    from 32 pixels on, 54 from 128, and the paper's 70 from 256. Patches that hold a whole digit let translations change
    its class: of handwritten and printed digits at 16 pixels, 81 and 88 % of the labels were kept with patches of 26,
    but 94 and 98 % with patches of 12."""
    side = min(shape[1:])
    halvings, last_kernel = 1 + (side >= 32) + (side >= 128), 4 if side >= 256 else 3
    layers: list[nn.Module] = [nn.Conv2d(shape[0], width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    for _ in range(halvings - 1):
        layers += [nn.Conv2d(width, 2 * width, 4, stride=2, padding=1), group_norm(2 * width), nn.LeakyReLU(0.2)]
        width *= 2
    layers += [nn.Conv2d(width, 2 * width, last_kernel, padding=1), group_norm(2 * width), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Conv2d(2 * width, 1, last_kernel, padding=1))


class ImagePool(nn.Module):
    """The last translations that a discriminator has seen (Shrivastava et al. 2017): `images` float [50, C, H, W]."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.images = nn.Buffer(torch.zeros(POOL_SIZE, *shape))

    def query(self, generated: Tensor, num_seen: int, generator: torch.Generator) -> Tensor:
        """The images that the discriminator sees for `generated` [n, C, H, W], of which `num_seen` came before. While
        the pool is not full, they are the generated ones, of which the first fill it. Then half of the rows are swapped
        with as many slots of the pool, at most all 50."""
        if num_seen < POOL_SIZE:
            first = generated[: POOL_SIZE - num_seen]
            self.images[num_seen : num_seen + len(first)] = first
            return generated
        half, device = min(len(generated) // 2, POOL_SIZE), generated.device
        rows, slots = (torch.randperm(n, generator=generator)[:half].to(device) for n in (len(generated), POOL_SIZE))
        mixed = generated.clone()
        mixed[rows] = self.images[slots]
        self.images[slots] = generated[rows]
        return mixed
