"""Clipped density and clipped coverage: the shares of good images and of real ones reached, on a linear scale.

Salvy, Talbot and Thirion 2025. B(x) is the ball of a test image x up to its 5th nearest other test image (k = 5).
Clipping bounds what one image can add, and so what an outlier can do; calibration makes a share s of good images, the
others far from all real ones, score s.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, metric
from genlib.metrics.precision_recall import count_ball_members, squared_radii
from genlib.metrics.stats.intervals import normal_interval
from genlib.metrics.stats.overlap_variance import NEAREST_K, clipped_mean, overlap_of_halves
from genlib.metrics.stats.pairs import pairs_within


def density_of(inputs: MetricInputs) -> float:
    return density_ratio(inputs.generated.features, inputs.test.features)


@metric(
    question=("Realistic?", 13),
    must_detect={"noise": "lower", "blurred": "lower"},
    statistic=lambda inputs: min(1.0, density_of(inputs)),
)
def clipped_density(inputs: MetricInputs) -> MetricResult:
    """Share of good images: mean of min(1, c/k), c the number of test balls around a generated image, of radii at most
    their median; over the same mean of test images (Salvy et al. 2025)."""
    ratio = density_of(inputs)
    low, high = normal_interval(ratio, _variance(inputs, "clipped_density"))
    value, low, high = (min(1.0, max(0.0, end)) for end in (ratio, low, high))
    return MetricResult(value, low, high, n=inputs.n, detail={"k": NEAREST_K, "ratio": ratio})


@metric(
    question=("Diverse?", 8),
    must_detect={"stored": "lower", "collapse": "lower", "noise": "lower"},
    statistic=lambda inputs: equivalent_share(raw_coverage(inputs), inputs.n),
)
def clipped_coverage(inputs: MetricInputs) -> MetricResult:
    """Share of good images that would give this mean of min(1, c/k), c the number of generated images in the ball of a
    test image (Salvy et al. 2025)."""
    raw = raw_coverage(inputs)
    ends = (raw, *normal_interval(raw, _variance(inputs, "clipped_coverage")))
    value, low, high = (equivalent_share(end, inputs.n) for end in ends)
    return MetricResult(value, low, high, n=inputs.n, detail={"k": NEAREST_K, "raw": raw})


def _variance(inputs: MetricInputs, name: str) -> float:
    halves = overlap_of_halves(inputs.generated.features, inputs.test.features, inputs.test.labels)
    return halves.variance(name, inputs.n)


@lru_cache(maxsize=8)
def density_ratio(x: Tensor, y: Tensor) -> float:
    """Of features [n, d] of generated images and of the first n test images; about 1 for equal distributions."""
    y = y[: len(x)]
    squares = clip_squares(squared_radii(y))
    generated, real = (count_balls(points, y, squares) for points in (x, y))
    return float(clipped_mean(generated) / clipped_mean(real - 1))  # a test image lies in its own ball


def clip_squares(squared_radii: Tensor) -> Tensor:
    """Squares of radii that are at most their median; those below it are exactly as they were."""
    radii = squared_radii.sqrt()
    median = radii.quantile(0.5)
    return torch.where(radii <= median, squared_radii, median.square())


def count_balls(points: Tensor, centres: Tensor, squared_radii: Tensor) -> Tensor:
    """Of each point [n, d] the number of closed balls that hold it, int64 [n]."""
    counts, none = torch.zeros(len(points), dtype=torch.long), torch.full((len(points),), -1.0, dtype=torch.float64)
    closed = torch.nextafter(squared_radii, torch.full_like(squared_radii, torch.inf))  # pairs_within has open ones
    for _, (rows, _) in pairs_within(points, centres, none, closed):
        counts.index_add_(0, rows, torch.ones_like(rows))
    return counts


def raw_coverage(inputs: MetricInputs) -> float:
    return float(clipped_mean(count_ball_members(inputs.generated.features, inputs.test.features).generated_per_ball))


def equivalent_share(raw: float, n: int) -> float:
    """m/n with f(m) = raw, f the expected raw coverage of m good images among n; linear between whole m."""
    return float(np.interp(raw, expected_coverage(n).numpy(), np.linspace(0, 1, n + 1)))


@lru_cache(maxsize=8)
def expected_coverage(n: int) -> Tensor:
    """f(m) = E min(1, J/k) for m = 0, ..., n, float64 [n + 1]. J of m further images lie in B(x), of whatever
    distribution: the chance of B(x) is that of the k-th of n - 1 uniform order statistics, Beta(k, n - k), so P(J = j)
    = C(m, j) B(k + j, n - k + m - j) / B(k, n - k), and f(m) = 1 - sum_{j < k} (1 - j/k) P(J = j)."""
    m = torch.arange(n + 1, dtype=torch.float64)[:, None]
    j, k = torch.arange(NEAREST_K, dtype=torch.float64), torch.tensor(NEAREST_K, dtype=torch.float64)
    log_choose = torch.lgamma(m + 1) - torch.lgamma(j + 1) - torch.lgamma(m - j + 1)
    log_p = log_choose + _log_beta(k + j, n - k + m - j) - _log_beta(k, n - k)
    return 1 - (log_p.exp() * (1 - j / k)).sum(1)


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
