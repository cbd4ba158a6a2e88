"""95 % intervals: Wilson, Student's t, delete-group jackknife."""

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist, fmean, stdev

import torch

NUM_GROUPS = 20
Z = NormalDist().inv_cdf(0.975)


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
    odd, cosine = freedom % 2, math.cos(angle)
    i = torch.arange(1, max(1, (freedom - odd) // 2), dtype=torch.float64)
    ratios = (2 * i / (2 * i + 1) if odd else (2 * i - 1) / (2 * i)) * cosine**2
    total = math.sin(angle) * (1 + float(ratios.cumprod(0).sum()))
    if not odd:
        return total
    return 2 / math.pi * (angle + total * cosine * (freedom > 1))


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    half = t_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def jackknife(value: float, leave_one_out: Sequence[float]) -> tuple[float, float]:
    """Interval of `value` from its values without each of G equal groups: variance = (G - 1) / G sum_g (without_g -
    their mean)^2, and t with G - 1 degrees of freedom (delete-group jackknife; Kott 2001)."""
    half = t_quantile(len(leave_one_out) - 1) * math.sqrt(_jackknife_variance(leave_one_out))
    return value - half, value + half


def _jackknife_variance(leave_one_out: Sequence[float]) -> float:
    groups, mean = len(leave_one_out), fmean(leave_one_out)
    return (groups - 1) / groups * sum((part - mean) ** 2 for part in leave_one_out)


def wilson_jackknife(share: float, n: int, leave_one_out: Sequence[float]) -> tuple[float, float]:
    """Wilson's at the effective number of trials, share (1 - share) / variance, at most n (Korn and Graubard 1998)."""
    variance, alone = _jackknife_variance(leave_one_out), share * (1 - share)
    trials = min(n, alone / variance) if variance and alone else n
    return wilson(share * trials, trials)


def group_slices(n: int, num_groups: int = NUM_GROUPS) -> list[slice]:
    """Rows of n cut into consecutive groups whose sizes differ by at most one."""
    return [slice(g * n // num_groups, (g + 1) * n // num_groups) for g in range(num_groups)]
