"""Authenticity: distances of generated images to their nearest training image."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, UndefinedMetric, metric, shortfall
from genlib.metrics.stats.distinct import distinct_rows
from genlib.metrics.stats.neighbours import nearest


@dataclass(frozen=True)
class NearestTraining:
    """Of each image x: `index` of its nearest training image x*, d(x, x*), and x*'s own distance to the next, its
    `spacing`."""

    index: Tensor
    distance: Tensor
    spacing: Tensor

    @property
    def ratio(self) -> Tensor:
        """distance / spacing: 0 is a copy; where two training images are equal, spacing counts as tiny."""
        return self.distance / self.spacing.clamp(min=1e-12)

    @property
    def is_authentic(self) -> Tensor:
        return self.distance > self.spacing


def nearest_training(features: Tensor, train: Tensor) -> NearestTraining:
    """Of features [n, d] among those of training images [N, d], N >= 2: each image for itself."""
    distance, index = (part[:, 0] for part in nearest(features, train))
    return NearestTraining(index, distance, nearest(train[index], train, skip=index)[0][:, 0])


def generated_nearest(inputs: MetricInputs) -> tuple[NearestTraining, Tensor]:
    """Of the generated images, and the rows of the different ones."""
    if len(inputs.train) < 2:
        raise UndefinedMetric(f"needs at least 2 training images, found {len(inputs.train)}")
    index, distance, spacing = inputs.generated.per_image(_columns, inputs.train).unbind(1)
    found = NearestTraining(index.long(), distance, spacing)
    return found, distinct_rows(inputs.generated.features, distance)


def _columns(images: FeatureSet, train: FeatureSet) -> Tensor:
    found = nearest_training(images.features, train.features)
    return torch.stack([found.index.double(), found.distance, found.spacing], 1)


def share_authentic(inputs: MetricInputs) -> float:
    found, rows = generated_nearest(inputs)
    return float(found.is_authentic[rows].double().mean())


@metric(
    question=("Original?", 2),
    better="real",
    must_detect={"copies": "lower", "collapse": "not lower", "blurred": "not lower"},
    in_verdict=True,
    fault_share=shortfall,
    reference="none",
    statistic=share_authentic,
    bounds=(0, 1),
)
def authenticity(inputs: MetricInputs) -> MetricResult:
    """Share of generated images farther from their nearest training image than that one is from its own nearest other
    training image (Alaa et al. 2022). Interval: Wilson.

    Of different images: one that is there k times has the weight 1 / k (see `distinct_rows`).
    """
    found, rows = generated_nearest(inputs)
    count = int(found.is_authentic[rows].sum())
    detail = {"authentic": count, "distinct": len(rows), "train": len(inputs.train)}
    share = MetricResult.of_share(count, len(rows), **detail, median_ratio=found.ratio[rows].median())
    return replace(share, n=inputs.n)
