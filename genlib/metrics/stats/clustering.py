"""k-means with an exact final assignment."""

from functools import lru_cache

import torch
from torch import Tensor

from genlib.data.random import seeded_generator
from genlib.metrics.stats.neighbours import nearest

MAX_ITERATIONS = 50
MAX_FIT_ROWS = 5000
NUM_CLUSTERS = 10  # that stand in for classes where there are none


@lru_cache(maxsize=8)  # of training images, which every draw of a baseline asks for
def kmeans_of_subset(x: Tensor, k: int, seed: int, key: str) -> Tensor:
    """`kmeans` of at most 5,000 rows of x, drawn by `key`."""
    return kmeans(x[torch.randperm(len(x), generator=seeded_generator(seed, key))[:MAX_FIT_ROWS]], k, seed)


def kmeans(x: Tensor, k: int, seed: int) -> Tensor:
    """Centres float64 [k', d] of rows x [n, d], k' <= k different ones (Lloyd 1982), started by k-means++."""
    x = x.double()
    centres = _kmeans_plus_plus(x, k, seed)
    cell = _assign_approximately(x, centres)
    for _ in range(MAX_ITERATIONS):
        sums = torch.zeros_like(centres).index_add(0, cell, x)
        sizes = cell.bincount(minlength=len(centres))
        centres = torch.where(sizes[:, None] > 0, sums / sizes[:, None].clamp(min=1), centres)
        before, cell = cell, _assign_approximately(x, centres)
        if torch.equal(before, cell):
            break
    return centres


def _kmeans_plus_plus(x: Tensor, k: int, seed: int) -> Tensor:
    """Arthur and Vassilvitskii 2007: k rows, each drawn by its squared distance to the nearest one before."""
    generator = seeded_generator(seed, "centres")
    chosen = [int(torch.randint(len(x), (1,), generator=generator))]
    squares = (x - x[chosen[0]]).square().sum(1)
    while len(chosen) < k and squares.sum() > 0:
        chosen.append(int(torch.multinomial(squares, 1, generator=generator)))
        squares = torch.minimum(squares, (x - x[chosen[-1]]).square().sum(1))
    return x[chosen]


def _assign_approximately(x: Tensor, centres: Tensor) -> Tensor:
    """`assign_clusters` up to rounding, by one product."""
    return torch.addmm(centres.square().sum(1), x, centres.T, alpha=-2).argmin(1)


def assign_clusters(x: Tensor, centres: Tensor) -> Tensor:
    return nearest(x, centres)[1][:, 0]
