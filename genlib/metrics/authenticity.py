"""Is it a copy? How near generated images come to the training images they are nearest to."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.intervals import wilson
from genlib.metrics.stats.neighbours import nearest


@dataclass(frozen=True)
class NearestTraining:
    """Of each generated image x: `nearest` int64 [n], the row of x*, the training image nearest to it; `distance`
    d(x, x*) and `spacing` d(x*, nearest other training image), float64 [n]."""

    index: Tensor
    distance: Tensor
    spacing: Tensor

    @property
    def ratio(self) -> Tensor:
        """distance / spacing, float64 [n]: 0 is a copy; where the training image has a twin, spacing counts as tiny."""
        return self.distance / self.spacing.clamp(min=1e-12)


def nearest_training(inputs: MetricInputs) -> NearestTraining:
    made, train = inputs.generated.features, inputs.train.features
    distance, star = (part[:, 0] for part in nearest(made, train))
    return NearestTraining(star, distance, nearest(train[star], train, skip=star)[0][:, 0])


@metric(min_images=20, better="real", must_detect={"copies": "lower"})
def authenticity(inputs: MetricInputs) -> MetricResult:
    """Share of generated x farther from x*, their nearest training image, than x* is from its own nearest other
    training image (Alaa et al. 2022). Interval: Wilson.

    0 for copies; real held-out images score 0.58 to 0.63, not 0.5 and not 1, so read it beside the null. Blur and noise
    raise it: an image far from everything is authentic.
    """
    if len(inputs.train) < 2:
        raise UndefinedMetric(f"needs at least 2 training images, found {len(inputs.train)}")
    close = nearest_training(inputs)
    authentic = int((close.distance > close.spacing).sum())
    low, high = wilson(authentic, inputs.n)
    detail = {"authentic": authentic, "train": len(inputs.train), "median_ratio": close.ratio.median()}
    return MetricResult(authentic / inputs.n, low, high, n=inputs.n, detail=detail)
