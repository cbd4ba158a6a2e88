"""Authenticity: distances of generated images to their nearest training image."""

from dataclasses import dataclass, replace

from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric, shortfall
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


@metric(
    question=("Copied?", 2),
    better="real",
    must_detect={"copies": "lower", "collapse": "not lower", "blurred": "not lower"},
    verdict=("memorization", shortfall),
)
def authenticity(inputs: MetricInputs) -> MetricResult:
    """Share of generated images farther from their nearest training image than that one is from its own nearest other
    training image (Alaa et al. 2022). Interval: Wilson.

    Of different images: one that is there k times has the weight 1 / k (see `distinct_rows`).
    """
    if len(inputs.train) < 2:
        raise UndefinedMetric(f"needs at least 2 training images, found {len(inputs.train)}")
    found = nearest_training(inputs.generated.features, inputs.train.features)
    rows = distinct_rows(inputs.generated.features, found.distance)
    count = int(found.is_authentic[rows].sum())
    detail = {"authentic": count, "distinct": len(rows), "train": len(inputs.train)}
    share = MetricResult.of_share(count, len(rows), **detail, median_ratio=found.ratio[rows].median())
    return replace(share, n=inputs.n)
