"""Kernel inception distance: the maximum mean discrepancy between generated and real features.

Only sums of the kernel matrix K over sets of rows are needed: a^T K b with masks a, b of ones and zeros. K is computed
once, tile by tile, in the precision of the features; sums over rows are float64. Where the subsets are few among many
rows, their kernel is computed separately.
"""

from itertools import combinations_with_replacement, product

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.data.random import seeded_generator
from genlib.metrics.base import MetricInputs, MetricResult, metric
from genlib.metrics.stats.groups import group_index, kept_groups, sums_without_groups
from genlib.metrics.stats.intervals import NUM_GROUPS

NUM_SUBSETS, SUBSET_SIZE = 100, 1000
TILE_SIZE = 1024  # rows and columns of the tile of K that is held at once
MAX_SAFE_PRODUCT = 1e10  # product of two rows, over d, whose cube float32 holds; else float64


@metric(
    question=("Realistic?", 6),
    better="lower",
    min_images=40,
    must_detect={"collapse": "higher", "noise": "higher", "blurred": "higher"},
    verdict=("distribution", None),
    statistic=lambda inputs: mmd(inputs.generated.features, inputs.real.features),
)
def kid(inputs: MetricInputs) -> MetricResult:
    """Unbiased squared MMD with k(x, y) = (x.y / d + 1)^3 of the features (Binkowski et al. 2018)."""
    x, y = inputs.generated.features, inputs.real.features
    n, d = x.shape
    if max(float(each.double().square().sum(1).max()) for each in (x, y)) >= MAX_SAFE_PRODUCT * d:
        x, y = x.double(), y.double()
    groups, rows = F.one_hot(group_index(n), NUM_GROUPS).double(), _draw_subsets(n, inputs.seed)
    if _separate_is_cheaper(n, d):
        sums = sum_kernel(x, y, groups, groups)
        distances = torch.tensor([mmd(x[i], y[j]) for i, j in zip(*rows, strict=True)], dtype=torch.float64)
    else:
        subset_masks = torch.zeros(2, NUM_SUBSETS, n, dtype=torch.float64).scatter_(2, rows, 1).mT
        sums = sum_kernel(x, y, *(torch.cat([groups, masks], 1) for masks in subset_masks))
        xx, yy, xy = (part.diagonal()[NUM_GROUPS:] for part in sums)
        distances = _unbiased_mmd(xx, yy, xy, rows.shape[2])
    xx, yy, xy = (sums_without_groups(part[:NUM_GROUPS, :NUM_GROUPS]) for part in sums)
    values = _unbiased_mmd(xx, yy, xy, kept_groups() @ groups.sum(0)).tolist()
    mean, sd = distances.mean(), distances.std(correction=0)
    subsets = {"number": NUM_SUBSETS, "size": rows.shape[2], "mean": mean, "sd": sd}
    return MetricResult.of_jackknife(values, n=n, features=d, subsets=subsets)


def _separate_is_cheaper(n: int, d: int) -> bool:
    """Whether the subsets' own pairs, S size^2 of them with d products each, are less work than n^2 S sums."""
    return min(SUBSET_SIZE, n // 2) ** 2 * d < n**2


def mmd(x: Tensor, y: Tensor) -> float:
    all_rows = torch.ones(len(x), 1, dtype=torch.float64)
    return float(_unbiased_mmd(*sum_kernel(x, y, all_rows, all_rows), all_rows.sum(0)))


def sum_kernel(x: Tensor, y: Tensor, masks_x: Tensor, masks_y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """a^T K b for masks a, b float64 [n, S]: [S, S] within x, within y, and between. No row is paired with itself."""
    return _sum_within(x, masks_x), _sum_within(y, masks_y), _sum_between(x, y, masks_x, masks_y)


def _sum_between(x: Tensor, y: Tensor, masks_x: Tensor, masks_y: Tensor) -> Tensor:
    sums, masks_y = masks_x.new_zeros(masks_x.shape[1], masks_x.shape[1]), masks_y.to(x.dtype)
    for rows, columns in product(_tile_slices(len(x)), _tile_slices(len(y))):
        sums += masks_x[rows].T @ (_cubic_kernel(x[rows], y[columns]) @ masks_y[columns]).double()
    return sums


def _sum_within(x: Tensor, masks: Tensor) -> Tensor:
    """a^T K a without K's diagonal; K is symmetric, so only tiles on and above its diagonal are computed."""
    half, b = masks.new_zeros(masks.shape[1], masks.shape[1]), masks.to(x.dtype)
    for rows, columns in combinations_with_replacement(_tile_slices(len(x)), 2):
        kernel = _cubic_kernel(x[rows], x[columns])
        if rows == columns:
            kernel.fill_diagonal_(0).div_(2)
        half += masks[rows].T @ (kernel @ b[columns]).double()
    return half + half.T


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
