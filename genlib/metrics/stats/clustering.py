"""Kinds of images: the classes of a judge that knows any, else cells of k-means."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genlib.data.batches import seeded
from genlib.metrics.inputs import Evidence, View
from genlib.metrics.stats.neighbours import nearest

ROUNDS = 50
CELLS = 10  # kinds, where there are no classes


def kmeans(x: Tensor, k: int, seed: int) -> Tensor:
    """Centres float64 [k', d] of rows x [n, d], k' <= k different ones (Lloyd 1982), started by k-means++ (Arthur and
    Vassilvitskii 2007)."""
    x = x.double()
    centres = _spread_out(x, k, seed)
    cell = _nearly(x, centres)
    for _ in range(ROUNDS):
        sums = torch.zeros_like(centres).index_add(0, cell, x)
        sizes = cell.bincount(minlength=len(centres))
        centres = torch.where(sizes[:, None] > 0, sums / sizes[:, None].clamp(min=1), centres)
        before, cell = cell, _nearly(x, centres)
        if torch.equal(before, cell):
            break
    return centres


def _spread_out(x: Tensor, k: int, seed: int) -> Tensor:
    """k rows of x, each drawn with the chance of its squared distance to the nearest one before."""
    generator = seeded(seed, "centres")
    chosen = [int(torch.randint(len(x), (1,), generator=generator))]
    squares = (x - x[chosen[0]]).square().sum(1)
    while len(chosen) < k and squares.sum() > 0:
        chosen.append(int(torch.multinomial(squares, 1, generator=generator)))
        squares = torch.minimum(squares, (x - x[chosen[-1]]).square().sum(1))
    return x[chosen]


def _nearly(x: Tensor, centres: Tensor) -> Tensor:
    """`cells` up to rounding, by one product."""
    return torch.addmm(centres.square().sum(1), x, centres.T, alpha=-2).argmin(1)


def cells(x: Tensor, centres: Tensor) -> Tensor:
    """The nearest centre of each row, int64 [n]."""
    return nearest(x, centres)[1][:, 0]


def kinds(evidence: Evidence) -> Callable[[View], Tensor]:
    """view -> the kind of each of its images, int64 [n]: the judge's class, or the cell of k-means on test images."""
    if evidence.named:
        return lambda view: view.classes
    centres = kmeans(evidence.test.features, CELLS, evidence.seed)
    return lambda view: cells(view.features, centres)
