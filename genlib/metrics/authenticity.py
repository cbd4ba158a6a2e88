"""Authenticity: distances of generated images to their nearest training image."""

from dataclasses import dataclass

from torch import Tensor

from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, UndefinedMetric, metric, shortfall
from genlib.metrics.stats.neighbours import nearest


@dataclass(frozen=True)
class NearestTraining:
    """Of each generated image x: `index` of its nearest training image x*, d(x, x*), and x*'s own distance to the
    next."""

    index: Tensor
    distance: Tensor
    spacing: Tensor

    @property
    def ratio(self) -> Tensor:
        """distance / spacing: 0 is a copy; where two training images are equal, spacing counts as tiny."""
        return self.distance / self.spacing.clamp(min=1e-12)


def nearest_training(inputs: MetricInputs) -> NearestTraining:
    generated, train = inputs.generated.features, inputs.train.features
    distance, index = (part[:, 0] for part in nearest(generated, train))
    return NearestTraining(index, distance, nearest(train[index], train, skip=index)[0][:, 0])


def is_authentic(inputs: MetricInputs) -> Tensor:
    return inputs.generated.per_image(_authentic, inputs.train)


def _authentic(images: FeatureSet, train: FeatureSet) -> Tensor:
    distance, index = (part[:, 0] for part in nearest(images.features, train.features))
    spacing = nearest(train.features[index], train.features, skip=index)[0][:, 0]
    return (distance > spacing).double()


@metric(
    question=("Original?", 2),
    better="real",
    must_detect={"copies": "lower"},
    verdict=("memorization", shortfall),
    reference="none",
    statistic=lambda inputs: float(is_authentic(inputs).mean()),
)
def authenticity(inputs: MetricInputs) -> MetricResult:
    """Share of generated images farther from their nearest training image than that one is from its own nearest other
    training image (Alaa et al. 2022). Interval: Wilson."""
    if len(inputs.train) < 2:
        raise UndefinedMetric(f"needs at least 2 training images, found {len(inputs.train)}")
    found = nearest_training(inputs)
    count = int((found.distance > found.spacing).sum())
    detail = {"authentic": count, "train": len(inputs.train), "median_ratio": found.ratio.median()}
    return MetricResult.of_share(count, inputs.n, **detail)
