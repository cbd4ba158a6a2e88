"""Kernel inception distance: the maximum mean discrepancy between generated and real features.

The kernel matrix K is computed once, tile by tile, in the precision of the features; its sums over rows are float64. So
are those over random subsets of rows, a^T K b with masks a, b of ones and zeros, where they come cheaper that way.
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement, product
from typing import Self

import torch
from torch import Tensor

from genlib.data.random import seeded_generator
from genlib.metrics.base import MetricInputs, MetricResult, metric
from genlib.metrics.stats.intervals import score_interval
from genlib.metrics.stats.partitions import draw_rows
from genlib.metrics.stats.second_order import MAX_ROWS, null_moments
from genlib.metrics.stats.strata import variance_of_mean

NUM_SUBSETS, SUBSET_SIZE = 100, 1000
TILE_SIZE = 1024  # rows and columns of the tile of K that is held at once
MAX_SAFE_PRODUCT = 1e10  # product of two rows, over d, whose cube float32 holds; else float64


@metric(
    question=("Realistic?", 6),
    better="lower",
    min_images=40,
    must_detect={"collapse": "higher", "noise": "higher", "blurred": "higher"},
    in_verdict=True,
    statistic=lambda inputs: mmd(inputs.generated.features, inputs.real.features),
)
def kid(inputs: MetricInputs) -> MetricResult:
    """Unbiased squared MMD with k(x, y) = (x.y / d + 1)^3 of the features (Binkowski et al. 2018)."""
    x, y = inputs.generated.features, inputs.real.features
    n, d = x.shape
    if max(float(each.double().square().sum(1).max()) for each in (x, y)) >= MAX_SAFE_PRODUCT * d:
        x, y = x.double(), y.double()
    rows = _draw_subsets(n, inputs.seed)
    if _separate_is_cheaper(n, d):
        sums = KernelSums.of(x, y)
        distances = torch.tensor([mmd(x[i], y[j]) for i, j in zip(*rows, strict=True)], dtype=torch.float64)
    else:
        masks = torch.zeros(2, NUM_SUBSETS, n, dtype=x.dtype).scatter_(2, rows, 1).mT
        sums = KernelSums.of(x, y, *masks)
        distances = _unbiased_mmd(*sums.subsets, rows.shape[2])
    low, high, second_order = kid_interval(sums, x.double(), y.double(), inputs.real.labels)
    mean, sd = distances.mean(), distances.std(correction=0)
    subsets = {"number": NUM_SUBSETS, "size": rows.shape[2], "mean": mean, "sd": sd}
    detail = {"features": d, "subsets": subsets, "second_order": second_order}
    return MetricResult(sums.mmd, low, high, n=n, detail=detail)


def _separate_is_cheaper(n: int, d: int) -> bool:
    """Whether the subsets' own pairs, S size^2 of them with d products each, are less work than n^2 S sums."""
    return min(SUBSET_SIZE, n // 2) ** 2 * d < n**2


def mmd(x: Tensor, y: Tensor) -> float:
    """The value of `kid` for rows x, y [n, d]."""
    return KernelSums.of(x, y).mmd


def kid_interval(sums: "KernelSums", x: Tensor, y: Tensor, strata: Tensor | None) -> tuple[float, float, float]:
    """Of the MMD of x and y; the class mix of y stays, where it has classes. An image x weighs on it by twice its
    witness, mean_x' k(x, x') - mean_y k(x, y). Third: the second-order variance of its difference from another's with
    the same y."""
    of_x, of_y = 2 * (sums.xx - sums.xy) / len(x), 2 * (sums.yy - sums.yx) / len(x)
    plug_in = variance_of_mean(of_x) + variance_of_mean(of_y, strata)
    j = draw_rows(y, MAX_ROWS)
    a, b = x[draw_rows(x, MAX_ROWS)], y[j]
    kernel = (_cubic_kernel(a, a), _cubic_kernel(b, b), _cubic_kernel(a, b))
    null = null_moments(*kernel, len(x), None if strata is None else strata[j])
    return *score_interval(sums.mmd, -null.strata, null.variance, plug_in), null.unshared


@dataclass(frozen=True)
class KernelSums:
    """Sums of K, float64: of each x over the other x [n], each y over the other y, each x over y and each y over x. And
    over the subsets of rows that masks [n, S] name: within x [S], within y, and between."""

    xx: Tensor
    yy: Tensor
    xy: Tensor
    yx: Tensor
    subsets: tuple[Tensor, Tensor, Tensor]

    @classmethod
    def of(cls, x: Tensor, y: Tensor, masks_x: Tensor | None = None, masks_y: Tensor | None = None) -> Self:
        a, b = (x.new_zeros(len(x), 0) if masks is None else masks for masks in (masks_x, masks_y))
        (xx, within_x), (yy, within_y), (xy, yx, between) = (
            _sum_within(x, a),
            _sum_within(y, b),
            _sum_between(x, y, a, b),
        )
        return cls(xx, yy, xy, yx, (within_x, within_y, between))

    @property
    def mmd(self) -> float:
        return float(_unbiased_mmd(self.xx.sum(), self.yy.sum(), self.xy.sum(), len(self.xx)))


def _sum_between(x: Tensor, y: Tensor, masks_x: Tensor, masks_y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    xy, yx, subsets = (torch.zeros(size, dtype=torch.float64) for size in (len(x), len(y), masks_x.shape[1]))
    for rows, columns in product(_tile_slices(len(x)), _tile_slices(len(y))):
        kernel = _cubic_kernel(x[rows], y[columns])
        xy[rows] += kernel.sum(1, dtype=torch.float64)
        yx[columns] += kernel.sum(0, dtype=torch.float64)
        subsets += _sum_subsets(kernel, masks_x[rows], masks_y[columns])
    return xy, yx, subsets


def _sum_within(x: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Without K's diagonal; K is symmetric, so only tiles on and above its diagonal are computed."""
    sums, subsets = (torch.zeros(size, dtype=torch.float64) for size in (len(x), masks.shape[1]))
    for rows, columns in combinations_with_replacement(_tile_slices(len(x)), 2):
        kernel = _cubic_kernel(x[rows], x[columns])
        if rows == columns:
            kernel.fill_diagonal_(0).div_(2)
        sums[rows] += kernel.sum(1, dtype=torch.float64)
        sums[columns] += kernel.sum(0, dtype=torch.float64)
        subsets += 2 * _sum_subsets(kernel, masks[rows], masks[columns])
    return sums, subsets


def _sum_subsets(kernel: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a_s^T K b_s for each subset s, [S]."""
    return ((kernel @ b).double() * a).sum(0)


def _tile_slices(n: int) -> list[slice]:
    return [slice(start, min(n, start + TILE_SIZE)) for start in range(0, n, TILE_SIZE)]


def _cubic_kernel(x: Tensor, y: Tensor) -> Tensor:
    return torch.addmm(x.new_ones(1), x, y.T, alpha=1 / x.shape[1]).pow_(3)


def _unbiased_mmd(xx: Tensor, yy: Tensor, xy: Tensor, n: Tensor | int) -> Tensor:
    return (xx + yy) / (n * (n - 1)) - 2 * xy / n**2


def _draw_subsets(n: int, seed: int) -> Tensor:
    """The rows of 100 random subsets of x and of y, [2, 100, size]."""
    generator, size = seeded_generator(seed, "subsets"), min(SUBSET_SIZE, n // 2)
    drawn = [torch.randperm(n, generator=generator)[:size] for _ in range(2 * NUM_SUBSETS)]
    return torch.stack(drawn).view(NUM_SUBSETS, 2, size).transpose(0, 1)
