"""Do generated and real images lie among each other? Balls around images, reaching to their 5th nearest neighbours.

The ball of an image is all that is strictly nearer (<) to it than its 5th nearest other image (k = 5) of its own set.
There are n images of either kind. Who lies in whose ball is found once for all four metrics. Intervals allow for both
having been drawn anew, with the balls held still.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult
from genlib.metrics.stats.intervals import NUM_GROUPS, group_slices, jackknife, wilson_jackknife
from genlib.metrics.stats.neighbours import nearest
from genlib.metrics.stats.pairs import pairs_within

NEAREST_K = 5


@metric(min_images=20, must_detect={"noise": "lower"})
def precision(inputs: MetricInputs) -> MetricResult:
    """Share of generated images in the ball of some test image (Kynkaanniemi et al. 2019). Interval: `share`.

    A test image far from the others has a ball that takes in much; of variety nothing is seen.
    """
    return fraction_inside(ball_membership(inputs.generated.features, inputs.test.features).generated_in_real > 0)


@metric(min_images=20, must_detect={"stored": "lower", "collapse": "lower"})
def recall(inputs: MetricInputs) -> MetricResult:
    """Share of test images in the ball of some generated image (Kynkaanniemi et al. 2019). Interval: `share`.

    A generated image far from everything has a ball that takes in much, so a few outliers raise it.
    """
    return fraction_inside(ball_membership(inputs.generated.features, inputs.test.features).real_in_generated > 0)


@metric(min_images=20, must_detect={"stored": "lower", "collapse": "lower", "noise": "lower"})
def coverage(inputs: MetricInputs) -> MetricResult:
    """Share of test images whose ball holds a generated image (Naeem et al. 2020); 1 - 2^-5 = 0.969 for equal laws.

    Interval: `share`. A few good images in every neighbourhood suffice: it does not see what else the generator makes.
    """
    return fraction_inside(ball_membership(inputs.generated.features, inputs.test.features).generated_per_ball > 0)


@metric(min_images=20, better="real", must_detect={"noise": "lower"})
def density(inputs: MetricInputs) -> MetricResult:
    """Mean number of test images' balls that hold a generated image, over k (Naeem et al. 2020); 1 for equal laws.

    Not a share: above 1 where the images lie in the thick of the real ones only. Interval: delete-group jackknife.
    """
    n, found = inputs.n, ball_membership(inputs.generated.features, inputs.test.features).generated_in_real.double()
    sums = torch.stack([found[group].sum(0) for group in group_slices(n)])
    sizes = torch.tensor([group.stop - group.start for group in group_slices(n)]).double()
    everything = torch.ones(NUM_GROUPS, dtype=torch.float64)
    value, *without = (
        float(keep @ sums @ keep / (keep @ sizes) ** 2) * n / NEAREST_K
        for keep in (everything, *(everything - torch.eye(NUM_GROUPS)))
    )
    low, high = jackknife(value, without)
    return MetricResult(value, max(0.0, low), high, n=n, detail={"k": NEAREST_K})


@dataclass(frozen=True)
class BallMembership:
    """Who lies in whose ball, counted by the group of the other, int64 [n, G]: in how many balls of test images each
    generated one lies, in how many balls of generated images each test image, and how many generated images lie in the
    ball of each test image."""

    generated_in_real: Tensor
    real_in_generated: Tensor
    generated_per_ball: Tensor


@lru_cache(maxsize=8)
def ball_membership(x: Tensor, y: Tensor) -> BallMembership:
    """Of the features [n, d] of generated images and of the first n test images; kept, since four metrics ask."""
    n = len(x)
    y = y[:n]
    group = torch.arange(NUM_GROUPS).repeat_interleave(torch.tensor([g.stop - g.start for g in group_slices(n)]))
    found = BallMembership(*(torch.zeros(n, NUM_GROUPS, dtype=torch.long) for _ in range(3)))
    for (i, j), (u, v) in pairs_within(x, y, squared_radii(x), squared_radii(y)):
        _increment_counts(found.real_in_generated, j, group[i])
        _increment_counts(found.generated_in_real, u, group[v])
        _increment_counts(found.generated_per_ball, v, group[u])
    return found


def _increment_counts(counts: Tensor, row: Tensor, column: Tensor) -> None:
    counts.view(-1).index_add_(0, row * counts.shape[1] + column, torch.ones_like(row))


def squared_radii(x: Tensor) -> Tensor:
    """Of the ball of each row, float64 [n]."""
    fifth = nearest(x, x, NEAREST_K, skip=torch.arange(len(x)))[1][:, -1]
    return (x.double() - x[fifth].double()).square().sum(1)


def fraction_inside(membership: Tensor) -> MetricResult:
    """The share of rows of bool [n, G] that are true for some group of the others.

    Interval: Wilson's at as many trials as the delete-group jackknife over rows and columns finds.
    """
    groups, times = group_slices(len(membership)), membership.sum(1)
    value = float((times > 0).double().mean())
    without = [_mean_without(times > membership[:, g], group) for g, group in enumerate(groups)]
    low, high = wilson_jackknife(value, len(membership), without)
    return MetricResult(value, low, high, n=len(membership), detail={"k": NEAREST_K, "inside": int((times > 0).sum())})


def _mean_without(values: Tensor, group: slice) -> float:
    return float(torch.cat([values[: group.start], values[group.stop :]]).double().mean())
