"""Resizing of images to squares, each way a linear map: A x B^T with matrices [size, height] and [size, width].

The ways differ in where they sample and whether they average, and with them the published numbers do (Parmar et al.
2022, "On aliased resizing and surprising subtleties in GAN evaluation").
"""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

Resampling = Callable[[int, int], Tensor]  # (own size, size) -> float64 [size, own size], rows of sum 1


def tensorflow1(own: int, size: int) -> Tensor:
    """Bilinear as TensorFlow 1 has it: pixel i is sampled at i own / size, in float32, without averaging."""
    scale = torch.tensor(own, dtype=torch.float32) / size
    return _interpolate_linearly(torch.arange(size) * scale, own)


def half_pixel_bilinear(own: int, size: int) -> Tensor:
    """Bilinear as torch has it: pixel i is sampled at (i + 1/2) own / size - 1/2, without averaging."""
    return _interpolate_linearly((torch.arange(size) + 0.5) * (own / size) - 0.5, own)


def _interpolate_linearly(positions: Tensor, own: int) -> Tensor:
    inside = positions.double().clamp(0, own - 1)
    return (1 - (inside[:, None] - torch.arange(own)).abs()).clamp(min=0)


def antialiased_bilinear(own: int, size: int) -> Tensor:
    """As Pillow: pixels weighed by max(0, 1 - |x|), widened where the image shrinks."""
    return _average(own, size, lambda x: (1 - x).clamp(min=0))


def antialiased_bicubic(own: int, size: int) -> Tensor:
    """As Pillow: pixels weighed by the cubic kernel (Keys 1981, a = -1/2), widened where the image shrinks."""
    return _average(own, size, lambda x: torch.where(x < 1, (1.5 * x - 2.5) * x**2 + 1, _cubic_tail(x)))


def _cubic_tail(x: Tensor) -> Tensor:
    return torch.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0)


def _average(own: int, size: int, kernel: Callable[[Tensor], Tensor]) -> Tensor:
    centres = (torch.arange(size, dtype=torch.float64) + 0.5) * own / size
    distances = (torch.arange(own) + 0.5 - centres[:, None]).abs() / max(1.0, own / size)
    weights = kernel(distances)
    return weights / weights.sum(1, keepdim=True)


class Resize(nn.Module):
    """Images [n, C, H, W] in [0, 1] as squares [n, C, size, size], within [0, 1]."""

    def __init__(self, resampling: Resampling, size: int) -> None:
        super().__init__()
        self.resampling, self.size = resampling, size

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (_matrix(self.resampling, own, self.size).to(x) for own in x.shape[2:])
        return (rows @ x @ columns.mT).clamp(0, 1)

    def extra_repr(self) -> str:
        return f"{self.resampling.__name__}, {self.size}"


@lru_cache(maxsize=64)
def _matrix(resampling: Resampling, own: int, size: int) -> Tensor:
    return resampling(own, size)
