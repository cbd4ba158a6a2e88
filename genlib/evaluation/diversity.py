"""Are they all alike? How many different images a generator seems to draw from, by the birthday paradox."""

from __future__ import annotations

import math
from statistics import fmean
from typing import Any

from torch import Tensor

from genlib.evaluation.collisions import Sameness, calibrate, pair_count
from genlib.evaluation.evidence import Evidence, View
from genlib.evaluation.intervals import Z, group_slices, of_mean
from genlib.evaluation.measure import Measure
from genlib.evaluation.metric import metric

BATCHES = 50
BY_CHANCE = 50
SHOWN = 20
NO_COLLISION = 4.744  # solves exp(-a) (1 + a) = 0.05


@metric(minimum=2 * BATCHES)
def support(evidence: Evidence) -> Measure:
    """1 / U, U the share of all pairs of generated images that are the same: the effective number 1 / sum_i p_i^2.

    The birthday paradox test (Arora and Zhang 2017) as Simpson's (1949) unbiased estimate of sum p^2. Two images are
    the same under radii at which real test images of this number would show 50 chance collisions; so real images score
    about (n choose 2) / 50, and that is the most the test can tell apart. Interval: `simpson`. With no collision the
    value is a lower bound and `detail.more_than` is true. `detail.batches` gives the test in its first form.
    """
    made, n = evidence.made, evidence.n
    sameness = calibrate(evidence.test, BY_CHANCE / pair_count(n))
    partners = sameness.partners(made)
    value, low, high = simpson(partners)
    units, pairs = sameness.closest(made, SHOWN)
    detail = {
        "threshold": f"per class; {sameness.rate:.2g} of all pairs of {len(evidence.test)} test images are the same",
        "rate": sameness.rate,
        "radius": sameness.radius,
        "pairs": pair_count(n),
        "collisions": int(partners.sum()) // 2,
        "more_than": high is None,
        "batches": batch_test(made, sameness),
        "closest_pairs": pairs,
        "closest_distances": units,
    }
    return Measure(value, low, high, n=n, detail=detail)


def simpson(partners: Tensor) -> tuple[float, float, float | None]:
    """(1 / U, low, high) from how many others each of n draws equals, int64 [n].

    U = sum_i c_i / (n (n - 1)), W = sum_i c_i (c_i - 1) / (n (n - 1) (n - 2)) estimates sum p^3, and
    Var U = (4 (n - 2) (W - U^2) + 2 U (1 - U)) / (n (n - 1)); the interval is taken on log U. With no collision:
    n^2 / a^2 with exp(-a) (1 + a) = 0.05, below which n draws collide 19 times in 20 whatever p is, and no upper end.
    """
    c, n = partners.double(), len(partners)
    u = float(c.sum()) / (n * (n - 1))
    if u == 0:
        return (n / NO_COLLISION) ** 2, (n / NO_COLLISION) ** 2, None
    w = float((c * (c - 1)).sum()) / (n * (n - 1) * (n - 2))
    variance = (4 * (n - 2) * max(0.0, w - u**2) + 2 * u * (1 - u)) / (n * (n - 1))
    factor = math.exp(Z * math.sqrt(variance) / u)
    return 1 / u, max(1.0, 1 / u / factor), 1 / u * factor


def batch_test(view: View, sameness: Sameness) -> dict[str, Any]:
    """In how many of 50 disjoint batches two images were the same, and 1 / U with a t-interval over the batches."""
    batches = [view[part] for part in group_slices(len(view) // BATCHES * BATCHES, BATCHES)]
    size = len(batches[0])
    shares = [int(sameness.partners(batch).sum()) / (size * (size - 1)) for batch in batches]
    low, high = of_mean(shares)
    return {
        "number": BATCHES,
        "size": size,
        "with_collision": sum(share > 0 for share in shares),
        "value": 1 / fmean(shares) if any(shares) else None,
        "low": 1 / high if high > 0 else None,
        "high": 1 / low if low > 0 else None,
    }
