"""p-values against a simulated null, Holm's correction, and the share of a fault that a test finds."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

MIN_EXCEEDING = 10  # draws as extreme as the value, from which on they are counted; below, the fitted tail is used
MIN_SKEWNESS = 0.02  # below which the tail is a normal distribution's

Tail = Literal["higher", "lower", "both"]


def p_value(value: float, null: Tensor, tail: Tail) -> float:
    """P(as extreme as `value`) under the law of `null`, float64 [B] simulated draws: (1 + r) / (1 + B) where r >= 10 of
    them are as extreme, else by the tail of the Pearson type III distribution of their first three moments (Pearson
    1895; for such nulls: Mielke and Berry 2007)."""
    if tail == "both":
        return min(1.0, 2 * min(p_value(value, null, "higher"), p_value(value, null, "lower")))
    if tail == "lower":
        return p_value(-value, -null, "higher")
    exceeding = int((null >= value).sum())
    if exceeding >= MIN_EXCEEDING:
        return (1 + exceeding) / (1 + len(null))
    return _fitted_tail(value, null, (1 + exceeding) / (1 + len(null)))


def _fitted_tail(value: float, null: Tensor, counted: float) -> float:
    """P(X >= value), X = mean + sd (G - k) / sqrt(k), G of Gamma(k), k = 4 / skewness^2. On the short side of a skew
    law that tail has an end: there the smaller of a normal distribution's, which is longer, and the share `counted`."""
    mean, sd = float(null.mean()), float(null.std())
    if not sd:
        return counted
    z, skewness = (value - mean) / sd, float(((null - mean) / sd).pow(3).mean())
    if skewness < MIN_SKEWNESS:
        return min(counted, float(torch.special.ndtr(torch.tensor(-z, dtype=torch.float64))))
    k = torch.tensor(4 / skewness**2, dtype=torch.float64)
    return float(torch.special.gammaincc(k, (k + k.sqrt() * z).clamp(min=0)))


def holm(p: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values: the i-th smallest of m times m + 1 - i, made ascending, at most 1 (Holm 1979). Rejecting those
    up to a level errs on any true null with at most that chance, however the tests depend on each other."""
    adjusted, highest = {}, 0.0
    for rank, name in enumerate(sorted(p, key=lambda name: p[name])):
        highest = max(highest, min(1.0, (len(p) - rank) * p[name]))
        adjusted[name] = highest
    return adjusted


def share_found(shares: Sequence[float], power: Sequence[float], wanted: float) -> float | None:
    """The smallest share of images at fault that is found with power `wanted`: between the two tried ones about it,
    linear in its logarithm and in the power, made ascending; None where even the largest is not."""
    highest, before = 0.0, (0.0, 0.0)
    for share, found in zip(shares, power, strict=True):
        highest = max(highest, found)
        if highest >= wanted:
            if not before[0]:
                return share
            (low, low_power), step = before, math.log(share / before[0])
            return low * math.exp(step * (wanted - low_power) / (highest - low_power))
        before = (share, highest)
    return None
