"""Precision, recall, density and coverage: how far generated and real images overlap in feature space.

The ball of an image is all that is strictly nearer (<) to it than its 5th nearest other image (k = 5) of its own set of
n. Intervals allow for a new draw of both sets, with fixed balls.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, metric, shortfall
from genlib.metrics.stats.groups import drop_group, group_index, kept_groups, sums_without_groups
from genlib.metrics.stats.intervals import NUM_GROUPS, group_slices, wilson_jackknife
from genlib.metrics.stats.neighbours import nearest
from genlib.metrics.stats.pairs import pairs_within

NEAREST_K = 5


@metric(
    question=("Realistic?", 1),
    must_detect={"noise": "lower", "blurred": "lower"},
    verdict=("per_image", shortfall),
)
def precision(inputs: MetricInputs) -> MetricResult:
    """Share of generated images in the ball of some test image, up to its 5th neighbour (Kynkaanniemi et al. 2019)."""
    return fraction_inside(ball_membership(inputs).generated_in_real)


@metric(question=("Diverse?", 4), must_detect={"stored": "lower", "collapse": "lower"}, verdict=("modes", shortfall))
def recall(inputs: MetricInputs) -> MetricResult:
    """Share of test images in the ball of some generated image (Kynkaanniemi et al. 2019)."""
    return fraction_inside(ball_membership(inputs).real_in_generated)


@metric(
    question=("Diverse?", 3),
    must_detect={"stored": "lower", "collapse": "lower", "noise": "lower"},
    verdict=("modes", shortfall),
)
def coverage(inputs: MetricInputs) -> MetricResult:
    """Share of test images whose ball holds a generated image (Naeem et al. 2020); 0.969 for equal distributions."""
    return fraction_inside(ball_membership(inputs).generated_per_ball)


@metric(
    question=("Realistic?", 2),
    better="real",
    must_detect={"noise": "lower", "blurred": "lower"},
    verdict=("per_image", shortfall),
)
def density(inputs: MetricInputs) -> MetricResult:
    """Mean number of test balls that hold a generated image, over k (Naeem et al. 2020); 1 for equal distributions."""
    n, found = inputs.n, ball_membership(inputs).generated_in_real.double()
    groups = group_slices(n)
    sums = torch.stack([found[group].sum(0) for group in groups])
    sizes = torch.tensor([group.stop - group.start for group in groups]).double()
    ratios = (sums_without_groups(sums) / (kept_groups() @ sizes) ** 2).tolist()
    return MetricResult.of_jackknife([ratio * n / NEAREST_K for ratio in ratios], n=n, at_least=0.0, k=NEAREST_K)


@dataclass(frozen=True)
class BallMembership:
    """Counts by the group of the other image, int64 [n, G]: of test balls around each generated image, of generated
    balls around each test image, and of generated images in the ball of each test image."""

    generated_in_real: Tensor
    real_in_generated: Tensor
    generated_per_ball: Tensor


def ball_membership(inputs: MetricInputs) -> BallMembership:
    return count_ball_members(inputs.generated.features, inputs.test.features)


@lru_cache(maxsize=8)
def count_ball_members(x: Tensor, y: Tensor) -> BallMembership:
    """Of features [n, d] of generated images and of the first n test images; cached, since four metrics ask."""
    n = len(x)
    y, group = y[:n], group_index(n)
    found = BallMembership(*(torch.zeros(n, NUM_GROUPS, dtype=torch.long) for _ in range(3)))
    for (i, j), (u, v) in pairs_within(x, y, squared_radii(x), squared_radii(y)):
        _increment_counts(found.real_in_generated, j, group[i])
        _increment_counts(found.generated_in_real, u, group[v])
        _increment_counts(found.generated_per_ball, v, group[u])
    return found


def _increment_counts(counts: Tensor, row: Tensor, column: Tensor) -> None:
    counts.view(-1).index_add_(0, row * counts.shape[1] + column, torch.ones_like(row))


def squared_radii(x: Tensor) -> Tensor:
    fifth = nearest(x, x, NEAREST_K, skip=torch.arange(len(x)))[1][:, -1]
    return (x.double() - x[fifth].double()).square().sum(1)


def fraction_inside(counts: Tensor) -> MetricResult:
    """The share of rows of [n, G] that are positive for some group; each group leaves rows and columns at once."""
    membership, n = counts > 0, len(counts)
    times = membership.sum(1)
    inside, without = times > 0, [times > membership[:, g] for g in range(NUM_GROUPS)]
    value, *others = (float(x.double().mean()) for x in (inside, *map(drop_group, without, group_slices(n))))
    low, high = wilson_jackknife(value, n, others)
    return MetricResult(value, low, high, n=n, detail={"k": NEAREST_K, "inside": int(inside.sum())})
