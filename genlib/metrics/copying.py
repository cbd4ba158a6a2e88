"""Data-copying test C_T (Meehan et al. 2020)."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.clustering import assign_clusters, kmeans_of_subset
from genlib.metrics.stats.distinct import distinct_rows
from genlib.metrics.stats.neighbours import nearest
from genlib.metrics.stats.ranking import auroc

IMAGES_PER_CELL, MAX_CELLS = 100, 50  # n / 100 cells; 50 is what Meehan et al. have for 10,000 images
MIN_GENERATED = 20  # generated images that a cell must exceed to count: tau = 20 / m


@metric(
    question=("Original?", 3),
    better="real",
    min_images=2 * MIN_GENERATED,
    must_detect={"copies": "lower", "collapse": "not lower", "blurred": "not lower"},
    in_verdict=True,
)
def copying(inputs: MetricInputs) -> MetricResult:
    """C_T = sum_c P(c) Z_c / sum_c P(c) (Meehan et al. 2020): far below 0 for copies, above 0 for underfitting.

    Z_c tells whether the generated images in the k-means cell c are farther from their nearest training image than the
    test images there, whose share is P(c); standard normal for equal distributions. Of different images: one that is
    there k times has the weight 1 / k (see `distinct_rows`).
    """
    train = inputs.train.features
    if not len(train):
        raise UndefinedMetric("needs training images, found none")
    num_cells = min(MAX_CELLS, max(1, inputs.n // IMAGES_PER_CELL))
    centres = kmeans_of_subset(train, num_cells, inputs.seed, "fitted")
    generated, real = (_locate(x, inputs.train, centres) for x in (inputs.generated, inputs.real))
    distinct = distinct_rows(inputs.generated.features, generated.distance)
    rows = compare_cells(generated[distinct].by_cell(len(centres)), real.by_cell(len(centres)))
    if not rows:
        raise UndefinedMetric(f"no cell holds more than {MIN_GENERATED} generated images and at least 2 test images")
    detail = {"cells": len(centres), "distinct": len(distinct), "compared": rows}
    return MetricResult(*average_cells(rows), n=inputs.n, detail=detail)


@dataclass(frozen=True)
class CellDistances:
    """Of each image: its `distance` to the nearest training image, and its k-means `cell`."""

    distance: Tensor
    cell: Tensor

    def __getitem__(self, rows: Tensor) -> "CellDistances":
        return CellDistances(self.distance[rows], self.cell[rows])

    def by_cell(self, num_cells: int) -> list[Tensor]:
        return [self.distance[self.cell == c] for c in range(num_cells)]


def locate(features: Tensor, train: Tensor, centres: Tensor) -> CellDistances:
    """Of features [n, d] among those of training images: each image for itself."""
    return CellDistances(nearest(features, train)[0][:, 0], assign_clusters(features, centres))


def _locate(images: FeatureSet, train: FeatureSet, centres: Tensor) -> CellDistances:
    distance, cell = images.per_image(_columns, train, centres).unbind(1)
    return CellDistances(distance, cell.long())


def _columns(images: FeatureSet, train: FeatureSet, centres: Tensor) -> Tensor:
    found = locate(images.features, train.features, centres)
    return torch.stack([found.distance, found.cell.double()], 1)


def compare_cells(generated: list[Tensor], real: list[Tensor]) -> list[dict[str, Any]]:
    """z with its interval for each cell that counts, how many images of each kind are there, and the cell's number."""
    rows = []
    for c, (x, y) in enumerate(zip(generated, real, strict=True)):
        if len(x) > MIN_GENERATED and len(y) > 1:
            z, low, high = mann_whitney_z(x, y)
            rows.append({"cell": c, "made": len(x), "real": len(y), "z": z, "low": low, "high": high})
    return rows


def mann_whitney_z(x: Tensor, y: Tensor) -> tuple[float, float, float]:
    """(U - nm / 2) / s with its interval, U the number of pairs with x > y and half of those that tie (Mann and Whitney
    1947); s^2 = nm / 12 (n + m + 1 - sum_t (t^3 - t) / ((n + m) (n + m - 1))), t the sizes of the ties. 0 if s is."""
    n, m = len(x), len(y)
    ties = torch.unique(torch.cat([x, y]), return_counts=True)[1].double()
    spread = n + m + 1 - float((ties**3 - ties).sum()) / ((n + m) * (n + m - 1))
    if spread <= 0:
        return 0.0, 0.0, 0.0
    unit = math.sqrt(spread / (12 * n * m))  # the standard deviation of U / nm for equal distributions
    area, low, high = auroc(x, y)
    return (area - 0.5) / unit, (low - 0.5) / unit, (high - 0.5) / unit


def average_cells(rows: list[dict[str, Any]]) -> tuple[float, float, float]:
    """The mean of z weighted by test images; half-widths combine as those of independent estimates."""
    weights = [row["real"] / sum(other["real"] for other in rows) for row in rows]
    value = sum(w * row["z"] for w, row in zip(weights, rows, strict=True))
    below = math.hypot(*(w * (row["z"] - row["low"]) for w, row in zip(weights, rows, strict=True)))
    above = math.hypot(*(w * (row["high"] - row["z"]) for w, row in zip(weights, rows, strict=True)))
    return value, value - below, value + above
