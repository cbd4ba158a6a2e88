"""Kinds of images: the classes of a judge that knows any, else cells of k-means."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genlib.data.batches import seeded_generator
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.stats.neighbours import nearest

MAX_ITERATIONS = 50
NUM_CLUSTERS = 10  # kinds, where there are no classes


def kmeans(x: Tensor, k: int, seed: int) -> Tensor:
    """Centres float64 [k', d] of rows x [n, d], k' <= k different ones (Lloyd 1982), started by k-means++ (Arthur and
    Vassilvitskii 2007)."""
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
    """k rows of x, each drawn with the chance of its squared distance to the nearest one before."""
    generator = seeded_generator(seed, "centres")
    chosen = [int(torch.randint(len(x), (1,), generator=generator))]
    squares = (x - x[chosen[0]]).square().sum(1)
    while len(chosen) < k and squares.sum() > 0:
        chosen.append(int(torch.multinomial(squares, 1, generator=generator)))
        squares = torch.minimum(squares, (x - x[chosen[-1]]).square().sum(1))
    return x[chosen]


def _assign_approximately(x: Tensor, centres: Tensor) -> Tensor:
    """`cells` up to rounding, by one product."""
    return torch.addmm(centres.square().sum(1), x, centres.T, alpha=-2).argmin(1)


def assign_clusters(x: Tensor, centres: Tensor) -> Tensor:
    """The nearest centre of each row, int64 [n]."""
    return nearest(x, centres)[1][:, 0]


def classes_or_clusters(inputs: MetricInputs) -> Callable[[FeatureSet], Tensor]:
    """view -> the kind of each of its images, int64 [n]: the judge's class, or the cell of k-means on test images."""
    if inputs.has_class_names:
        return lambda view: view.predicted_classes
    centres = kmeans(inputs.test.features, NUM_CLUSTERS, inputs.seed)
    return lambda view: assign_clusters(view.features, centres)
