"""Do generated and real images lie among each other? Balls around images, reaching to their 5th nearest neighbours.

The ball of an image is all that is strictly nearer (<) to it than its 5th nearest other image (k = 5) of its own set.
There are n images of either kind. Intervals allow for both having been drawn anew, with the balls held still.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from genlib.evaluation.evidence import Evidence
from genlib.evaluation.measure import Measure
from genlib.evaluation.metric import metric
from genlib.evaluation.parts.intervals import group_slices, jackknife, wilson_jackknife
from genlib.evaluation.parts.neighbours import nearest

NEAREST = 5
ELEMENTS = 1 << 21


@metric(minimum=20, catches={"noise": "lower"})
def precision(evidence: Evidence) -> Measure:
    """Share of generated images in the ball of some test image (Kynkaanniemi et al. 2019). Interval: `share`.

    A test image far from the others has a ball that takes in much; of variety nothing is seen.
    """
    made, real = evidence.made.features, evidence.real.features
    return share(within(made, real, squared_radii(real)[None, :]))


@metric(minimum=20, catches={"stored": "lower", "collapse": "lower"})
def recall(evidence: Evidence) -> Measure:
    """Share of test images in the ball of some generated image (Kynkaanniemi et al. 2019). Interval: `share`.

    A generated image far from everything has a ball that takes in much, so a few outliers raise it.
    """
    made, real = evidence.made.features, evidence.real.features
    return share(within(real, made, squared_radii(made)[None, :]))


@metric(minimum=20, catches={"stored": "lower", "collapse": "lower", "noise": "lower"})
def coverage(evidence: Evidence) -> Measure:
    """Share of test images whose ball holds a generated image (Naeem et al. 2020); 1 - 2^-5 = 0.969 for equal laws.

    Interval: `share`. A few good images in every neighbourhood suffice: it does not see what else the generator makes.
    """
    made, real = evidence.made.features, evidence.real.features
    return share(within(real, made, squared_radii(real)[:, None]))


@metric(minimum=20, better="real", catches={"noise": "lower"})
def density(evidence: Evidence) -> Measure:
    """Mean number of test images' balls that hold a generated image, over k (Naeem et al. 2020); 1 for equal laws.

    Not a share: above 1 where the images lie in the thick of the real ones only. Interval: delete-group jackknife.
    """
    made, real, n = evidence.made.features, evidence.real.features, evidence.n
    groups = group_slices(n)
    parts = within(made, real, squared_radii(real)[None, :])
    held = torch.cat([torch.stack([part[:, group].sum(1) for group in groups], 1) for part in parts]).double()
    sums = torch.stack([held[group].sum(0) for group in groups])
    sizes = torch.tensor([group.stop - group.start for group in groups]).double()
    everything = torch.ones(len(groups), dtype=torch.float64)
    value, *without = (
        float(keep @ sums @ keep / (keep @ sizes) ** 2) * n / NEAREST
        for keep in (everything, *(everything - torch.eye(len(groups))))
    )
    low, high = jackknife(value, without)
    return Measure(value, max(0.0, low), high, n=n, detail={"k": NEAREST})


def squared_radii(x: Tensor) -> Tensor:
    """Of the ball of each row, float64 [n]."""
    fifth = nearest(x, x, NEAREST, skip=torch.arange(len(x)))[1][:, -1]
    return (x.double() - x[fifth].double()).square().sum(1)


def within(x: Tensor, y: Tensor, squared_radius: Tensor) -> Iterator[Tensor]:
    """Whether ||x_i - y_j|| < radius_ij, bool [rows, m], some rows of x [n, d] at a time; the radii expand to [n, m].

    ||x - y||^2 = ||x||^2 + ||y||^2 - 2 x.y rounds, so what it puts at the edge is measured again by differences.
    """
    x, y = x.double(), y.double()
    u, v = x - y.mean(0), y - y.mean(0)
    own, norms = u.square().sum(1), v.square().sum(1)
    slack = (x.shape[1] + 8) * torch.finfo(x.dtype).eps * (own.max().sqrt() + norms.max().sqrt()).square()
    limits = squared_radius.expand(len(x), len(y))
    rows = max(1, ELEMENTS // len(y))
    for start in range(0, len(x), rows):
        part, limit = slice(start, start + rows), limits[start : start + rows]
        beyond = torch.addmm(norms, u[part], v.T, alpha=-2).add_(own[part, None]).sub_(limit)
        inside = beyond < 0
        row, column = ((beyond.abs() <= slack) & (limit > 0)).nonzero(as_tuple=True)
        inside[row, column] = (x[part][row] - y[column]).square().sum(1) < limit[row, column]
        yield inside & (limit > 0)


def share(parts: Iterable[Tensor]) -> Measure:
    """The share of rows with a true entry, of bool [n, m] that comes some rows at a time.

    Interval: Wilson's at as many trials as the delete-group jackknife over rows and columns finds.
    """
    found = torch.cat([torch.stack([part[:, g].any(1) for g in group_slices(part.shape[1])], 1) for part in parts])
    groups, times = group_slices(len(found)), found.sum(1)
    value = float((times > 0).double().mean())
    without = [_mean_without(times > found[:, g], group) for g, group in enumerate(groups)]
    low, high = wilson_jackknife(value, len(found), without)
    return Measure(value, low, high, n=len(found), detail={"k": NEAREST, "inside": int((times > 0).sum())})


def _mean_without(found: Tensor, group: slice) -> float:
    return float(torch.cat([found[: group.start], found[group.stop :]]).double().mean())
