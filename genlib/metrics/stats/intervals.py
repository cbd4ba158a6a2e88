"""95 % intervals: Wilson, Student's t, delete-group jackknife."""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

NUM_GROUPS = 20
Z = NormalDist().inv_cdf(0.975)


def wilson(successes: float, n: float) -> tuple[float, float]:
    """Interval of a share of n independent trials (Wilson 1927): never empty, never outside [0, 1]."""
    share = successes / n
    centre = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    return (centre - half if successes else 0.0), (centre + half if successes < n else 1.0)


def t_quantile(freedom: int) -> float:
    """The 0.975 quantile of Student's t, by the expansion of Abramowitz and Stegun 26.7.5; within 1e-3 from 5 on."""
    z, v = Z, freedom
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + g1 / v + g2 / v**2 + g3 / v**3 + g4 / v**4


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
