"""Have generated and real features one law, as far as a kernel tells?

Of the kernel's matrices only sums over sets of rows are needed: of groups, for the value and its interval, and of
random subsets. With a set as a column of ones and zeros these are a^T K b, so K is made once, tile by tile, in
the precision of the features; what is summed over rows is float64. Of subsets that are few among many rows, the
kernel is made once more instead.
"""

from __future__ import annotations

from itertools import combinations_with_replacement, product
from typing import Any

import torch
from torch import Tensor

from genlib.data.batches import seeded_generator
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult
from genlib.metrics.stats.intervals import NUM_GROUPS, group_slices, jackknife

NUM_SUBSETS, SUBSET_SIZE = 100, 1000
TILE_SIZE = 1024  # rows and columns of the tile of K that is held at once
MAX_SAFE_PRODUCT = 1e10  # product of two rows, over d, whose cube float32 holds


@metric(min_images=40, better="lower", must_detect={"collapse": "higher", "noise": "higher"})
def kid(inputs: MetricInputs) -> MetricResult:
    """Unbiased squared MMD with k(x, y) = (x.y / d + 1)^3 of the judge's features (Binkowski et al. 2018).

    On all n images; lower is better, 0 in expectation for equal laws, so it may be negative. Interval: delete-group
    jackknife over both sets. `detail.subsets` is the published form, mean and spread over 100 random subsets of 1,000
    images of each kind, or of n / 2 where there are fewer than 2,000.
    """
    x, y = _avoid_overflow(inputs.generated.features, inputs.real.features)
    n, d = x.shape
    groups, rows = _group_masks(n), _draw_subsets(n, inputs.seed)
    if _separate_is_cheaper(n, d):
        sums, subsets = sum_kernel(x, y, groups, groups), _subset_mmds(x, y, rows)
    else:
        sums = sum_kernel(x, y, *(torch.cat([groups, _subset_masks(chosen, n)], 1) for chosen in rows))
        xx, yy, xy = (part.diagonal()[NUM_GROUPS:] for part in sums)
        subsets = _unbiased_mmd(xx, yy, xy, rows.shape[2])
    sizes, kept = groups.sum(0), torch.ones(1 + NUM_GROUPS, NUM_GROUPS, dtype=torch.float64)
    kept[1:] -= torch.eye(NUM_GROUPS)
    xx, yy, xy = (torch.einsum("kg,gh,kh->k", kept, part[:NUM_GROUPS, :NUM_GROUPS], kept) for part in sums)
    value, *without = _unbiased_mmd(xx, yy, xy, kept @ sizes).tolist()
    low, high = jackknife(value, without)
    return MetricResult(value, low, high, n=n, detail={"features": d, "subsets": _describe_subsets(subsets, rows)})


def _separate_is_cheaper(n: int, d: int) -> bool:
    """Whether the subsets' own pairs, S size^2 of them with d products each, are less work than n^2 S sums."""
    return min(SUBSET_SIZE, n // 2) ** 2 * d < n**2


def _avoid_overflow(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Both as they are, or in float64 where cubes of their products may be too large for float32."""
    longest = max(float(each.double().square().sum(1).max()) for each in (x, y))
    return (x, y) if longest / x.shape[1] < MAX_SAFE_PRODUCT else (x.double(), y.double())


def _subset_mmds(x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
    """The distance between each subset of x and one of y, [S]."""
    return torch.tensor([mmd(x[some], y[others]) for some, others in zip(*rows, strict=True)], dtype=torch.float64)


def mmd(x: Tensor, y: Tensor) -> float:
    """The unbiased distance between x and y [n, d]."""
    everyone = torch.ones(len(x), 1, dtype=torch.float64)
    return float(_unbiased_mmd(*sum_kernel(x, y, everyone, everyone), everyone.sum(0)))


def sum_kernel(x: Tensor, y: Tensor, masks_x: Tensor, masks_y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of the kernel over the pairs of a set of rows and another, [S, S]: within x, within y, and between them.

    `a` and `b`, float64 [n, S] of ones and zeros, are the sets of rows of x and of y. A row's pair with itself is left
    out.
    """
    return _sum_within(x, masks_x), _sum_within(y, masks_y), _sum_between(x, y, masks_x, masks_y)


def _sum_between(x: Tensor, y: Tensor, masks_x: Tensor, masks_y: Tensor) -> Tensor:
    sums, masks_y = masks_x.new_zeros(masks_x.shape[1], masks_x.shape[1]), masks_y.to(x.dtype)
    for rows, columns in product(_tile_slices(len(x)), _tile_slices(len(y))):
        sums += masks_x[rows].T @ (_cubic_kernel(x[rows], y[columns]) @ masks_y[columns]).double()
    return sums


def _sum_within(x: Tensor, masks: Tensor) -> Tensor:
    """a^T K a without K's diagonal; K is symmetric, so only the tiles on its diagonal and to their right are made."""
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


def _group_masks(n: int) -> Tensor:
    """The jackknife's groups as sets, [n, G]."""
    sets = torch.zeros(n, NUM_GROUPS, dtype=torch.float64)
    for g, members in enumerate(group_slices(n)):
        sets[members, g] = 1
    return sets


def _draw_subsets(n: int, seed: int) -> Tensor:
    """The rows of 100 random subsets of x and of y, [2, 100, size]."""
    generator, size = seeded_generator(seed, "subsets"), min(SUBSET_SIZE, n // 2)
    drawn = [[torch.randperm(n, generator=generator)[:size] for _ in range(2)] for _ in range(NUM_SUBSETS)]
    return torch.stack([torch.stack(each) for each in zip(*drawn, strict=True)])


def _subset_masks(rows: Tensor, n: int) -> Tensor:
    """Subsets as sets, [n, S]."""
    return torch.zeros(len(rows), n, dtype=torch.float64).scatter_(1, rows, 1).T


def _describe_subsets(distances: Tensor, rows: Tensor) -> dict[str, Any]:
    return {"number": NUM_SUBSETS, "size": rows.shape[2], "mean": distances.mean(), "sd": distances.std(correction=0)}
