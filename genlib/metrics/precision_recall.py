"""Precision, recall, density and coverage: how far generated and real images overlap in feature space.

The ball of an image is all that is strictly nearer (<) to it than its 5th nearest other image (k = 5) of its own set of
n. Intervals allow for a new draw of both sets, rows and balls: the variance is that between random halves of them.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, metric, shortfall
from genlib.metrics.stats.intervals import wilson
from genlib.metrics.stats.neighbours import nearest
from genlib.metrics.stats.overlap_variance import NEAREST_K, overlap_of_halves
from genlib.metrics.stats.pairs import pairs_within


class Overlap(NamedTuple):
    precision: float
    recall: float
    density: float
    coverage: float


def overlap(inputs: MetricInputs) -> Overlap:
    return prdc(inputs.generated.features, inputs.test.features)


@metric(
    question=("Realistic?", 1),
    must_detect={"noise": "lower", "blurred": "lower"},
    in_verdict=True,
    fault_share=shortfall,
    statistic=lambda inputs: overlap(inputs).precision,
    bounds=(0, 1),
)
def precision(inputs: MetricInputs) -> MetricResult:
    """Share of generated images in the ball of some test image, up to its 5th neighbour (Kynkaanniemi et al. 2019)."""
    return overlap_share(inputs, "precision")


@metric(
    question=("Diverse?", 4),
    must_detect={"stored": "lower", "collapse": "lower"},
    in_verdict=True,
    fault_share=shortfall,
    statistic=lambda inputs: overlap(inputs).recall,
    bounds=(0, 1),
)
def recall(inputs: MetricInputs) -> MetricResult:
    """Share of test images in the ball of some generated image (Kynkaanniemi et al. 2019)."""
    return overlap_share(inputs, "recall")


@metric(
    question=("Diverse?", 3),
    must_detect={"stored": "lower", "collapse": "lower", "noise": "lower"},
    in_verdict=True,
    fault_share=shortfall,
    statistic=lambda inputs: overlap(inputs).coverage,
    bounds=(0, 1),
)
def coverage(inputs: MetricInputs) -> MetricResult:
    """Share of test images whose ball holds a generated image (Naeem et al. 2020); 0.969 for equal distributions."""
    return overlap_share(inputs, "coverage")


@metric(
    question=("Realistic?", 2),
    better="real",
    must_detect={"noise": "lower", "blurred": "lower"},
    in_verdict=True,
    fault_share=shortfall,
    statistic=lambda inputs: overlap(inputs).density,
    bounds=(0, float("inf")),
)
def density(inputs: MetricInputs) -> MetricResult:
    """Mean number of test balls that hold a generated image, over k (Naeem et al. 2020); 1 for equal distributions."""
    n, parts = inputs.n, overlap_of_halves(inputs.generated.features, inputs.test.features, inputs.test.labels)
    value = overlap(inputs).density
    return MetricResult.of_variance(value, parts.variance("density", n), n=n, at_least=0.0, k=NEAREST_K)


def overlap_share(inputs: MetricInputs, name: str) -> MetricResult:
    """With Wilson's interval at the effective number of trials."""
    n, x = inputs.n, inputs.generated.features
    value = getattr(prdc(x, inputs.test.features), name)
    trials = overlap_of_halves(x, inputs.test.features, inputs.test.labels).trials(name, n)
    detail = {"k": NEAREST_K, "inside": round(value * n), "trials": trials}
    return MetricResult(value, *wilson(value * trials, trials), n=n, detail=detail)


def prdc(x: Tensor, y: Tensor) -> Overlap:
    """Of features [n, d] of generated images and of the first n test images."""
    n, found = len(x), count_ball_members(x, y)
    precision, recall, coverage = (
        float((counts > 0).double().mean())
        for counts in (found.generated_in_real, found.real_in_generated, found.generated_per_ball)
    )
    return Overlap(precision, recall, float(found.generated_in_real.double().sum() / n**2) * n / NEAREST_K, coverage)


class BallMembership(NamedTuple):
    """Test balls around each generated image, generated balls around each test image, and generated images in the ball
    of each test image: int64 [n]."""

    generated_in_real: Tensor
    real_in_generated: Tensor
    generated_per_ball: Tensor


@lru_cache(maxsize=8)  # four metrics ask
def count_ball_members(x: Tensor, y: Tensor) -> BallMembership:
    """Of features [n, d] of generated images and of the first n test images."""
    y, found = y[: len(x)], BallMembership(*torch.zeros(3, len(x), dtype=torch.long))
    for (_, j), (u, v) in pairs_within(x, y, squared_radii(x), squared_radii(y)):
        for counts, rows in zip(found, (u, j, v), strict=True):
            counts.index_add_(0, rows, torch.ones_like(rows))
    return found


def squared_radii(x: Tensor) -> Tensor:
    fifth = nearest(x, x, NEAREST_K, skip=torch.arange(len(x)))[1][:, -1]
    return (x.double() - x[fifth].double()).square().sum(1)
