"""95 % intervals: Wilson, Student's t, normal, that of a squared distance, and that of a difference."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist, fmean, stdev

Z = NormalDist().inv_cdf(0.975)
MIN_GAP = 5.0  # deviations of the null


def wilson(successes: float, n: float) -> tuple[float, float]:
    """Interval of a share of n independent trials (Wilson 1927): never empty, never outside [0, 1]."""
    share = successes / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return (centre - half if successes else 0.0), (centre + half if successes < n else 1.0)


@cache
def t_quantile(freedom: int) -> float:
    """The 0.975 quantile of Student's t, by bisection on the angle atan(t / sqrt(freedom)); within 1e-9."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_probability(middle, freedom) < 0.95 else (low, middle)
    return math.sqrt(freedom) * math.tan(low)


def _t_probability(angle: float, freedom: int) -> float:
    """P(|t| < sqrt(freedom) tan(angle)), a finite sum for each number of degrees of freedom (Abramowitz and Stegun
    26.7.3 and 26.7.4)."""
    import torch  # here, since names of metrics are read without it

    odd, cosine = freedom % 2, math.cos(angle)
    i = torch.arange(1, max(1, (freedom - odd) // 2), dtype=torch.float64)
    ratios = (2 * i / (2 * i + 1) if odd else (2 * i - 1) / (2 * i)) * cosine**2
    total = math.sin(angle) * (1 + float(ratios.cumprod(0).sum()))
    if not odd:
        return total
    return 2 / math.pi * (angle + total * cosine * (freedom > 1))


def t_p_value(t: float, freedom: int) -> float:
    """P(|T| >= |t|) of Student's t."""
    return max(0.0, 1 - _t_probability(math.atan(abs(t) / math.sqrt(freedom)), freedom))


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    half = t_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def normal_interval(value: float, variance: float) -> tuple[float, float]:
    half = Z * math.sqrt(variance)
    return value - half, value + half


def difference_interval(a: tuple[float, float, float], b: tuple[float, float, float]) -> tuple[float, float]:
    """Of b - a, independent estimates with their intervals (value, low, high), whose half-widths towards each other are
    squared and added (Zou and Donner 2008): low = b - a - sqrt((b - low_b)^2 + (high_a - a)^2)."""
    difference = b[0] - a[0]
    return difference - math.hypot(b[0] - b[1], a[2] - a[0]), difference + math.hypot(b[2] - b[0], a[0] - a[1])


def score_interval(value: float, floor: float, null_variance: float, plug_in_variance: float) -> tuple[float, float]:
    """The means m of a squared distance that `value` does not refute: |value - m| <= 1.96 sqrt(v(m)), as Wilson's.

    The variance is v(m) = v0 + a (m - floor), v0 = `null_variance` where the distributions are equal and the mean is
    least, `floor`. Influence functions, taken at the sample, give `plug_in_variance`: the variance + v0 in expectation,
    hence a = (plug-in - 2 v0) / (value - floor); the gap counts as five deviations at least, else a would be noise.
    """
    gap, linear = value - floor, max(0.0, plug_in_variance - 2 * null_variance)
    least = MIN_GAP * math.sqrt(null_variance)
    slope = linear / max(gap, least) if max(gap, least) > 0 else 0.0
    centre = value + Z**2 * slope / 2
    half = Z * math.sqrt(max(0.0, null_variance + slope * gap + (Z * slope / 2) ** 2))
    low, high = normal_interval(value, null_variance)
    return (low if low <= floor else centre - half), (high if high <= floor else centre + half)


def group_slices(n: int, num_groups: int) -> list[slice]:
    """Rows of n cut into consecutive groups whose sizes differ by at most one."""
    return [slice(g * n // num_groups, (g + 1) * n // num_groups) for g in range(num_groups)]
