"""The variance of a median over training seeds, each of which was evaluated on the same test images.

Between k seeds values vary by S^2 (the training and the generated images), within one by W = G + R, where G is of the
generated images and R of the test images, which all seeds share. Their mean varies on halves of all images by
M = G / k + R, hence G / k = (W - M) / (k - 1); and over new seeds and new images of both kinds by S^2 / k + R, a median

    Var median = c_k S^2 / k + R,    c_k = pi k / (2 k + pi - 2),

c_k the price of the median of normal values: 1 at k = 1, pi / 2 at last.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import fmean, variance
from typing import NamedTuple

from torch import Tensor

from genlib.metrics.stats.intervals import t_p_value, t_quantile
from genlib.metrics.stats.partitions import variance_between

MAX_FREEDOM = 1000  # from which on Student's t is taken as there


class Part(NamedTuple):
    """A variance, or a part of one, and with how many degrees of freedom it is known."""

    variance: float
    freedom: float

    def interval(self, value: float) -> tuple[float, float]:
        """The 95 % interval by Student's t."""
        half = t_quantile(self._whole_freedom) * math.sqrt(self.variance)
        return value - half, value + half

    def p_value(self, value: float) -> float:
        """Two-sided, that its mean is 0."""
        if not self.variance:
            return float(value == 0)
        return t_p_value(value / math.sqrt(self.variance), self._whole_freedom)

    @property
    def _whole_freedom(self) -> int:
        return max(1, int(min(self.freedom, MAX_FREEDOM)))


def add_parts(parts: Iterable[Part]) -> Part:
    """Their sum, with the degrees of freedom of Satterthwaite (1946): (sum v)^2 / sum (v^2 / freedom)."""
    parts = [part for part in parts if part.variance > 0]
    total, doubt = sum(p.variance for p in parts), sum(p.variance**2 / p.freedom for p in parts)
    return Part(total, total**2 / doubt if doubt else math.inf)


def price_of_median(k: int) -> float:
    """c_k, within 2 % for odd k; an even k pays less, as its median is a mean of two."""
    return math.pi * k / (2 * k + math.pi - 2)


def between_seeds(values: Sequence[float]) -> Part:
    """c_k S^2 / k of two seeds or more."""
    k = len(values)
    return Part(price_of_median(k) * variance(values) / k, k - 1)


def image_parts(halves: Tensor) -> tuple[float, float]:
    """G / k and R of half of the images, from values [k, halvings, 2] of two seeds or more."""
    k, of_mean = len(halves), variance_between(halves.mean(0))
    generated = max(0.0, fmean(map(variance_between, halves)) - of_mean) / (k - 1)
    return generated, max(0.0, of_mean - generated)
