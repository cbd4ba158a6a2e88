"""Is one of two models better by a metric? Their difference with its interval and p-value.

Both are held against the same test images, so their values move together. Where both have values on the same halves of
those (`detail.halves`), a halving h gives the differences D_h1 and D_h2 of two draws of n / 2, and over H halvings

    Var D = (1 / H) sum_h (D_h1 - D_h2)^2 / 4

with H degrees of freedom. A squared distance has beside its variance in 1 / n one in 1 / n^2, which halves show twice
too large; it is known (`detail.second_order`), and taken off once. A share's values on halves are scaled to the
binomial variance at n. Elsewhere both intervals are combined as those of independent values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from genlib.metrics.registry import Metric, discover_metrics, get_metric, split_direction
from genlib.metrics.result import MetricResult
from genlib.metrics.stats.intervals import Z, difference_interval
from genlib.metrics.stats.partitions import variance_between
from genlib.metrics.stats.two_level import Part, add_parts

DIFFERENCE_DETAILS = ("halves", "second_order", "trials", "seeds")  # of a result, that are read here
DIGITS = 7  # that are kept of a value on a half
Outcome = Literal["better", "worse", "cannot tell"]


@dataclass(frozen=True)
class Difference:
    """b - a, of a metric that is best as real images get it |b - null| - |a - null|, with its 95 % interval and the
    two-sided p-value of no difference. `outcome`: what b is; `note`: why it is not paired, or why there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    outcome: Outcome = "cannot tell"
    note: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return f"no difference to tell ({self.note})"
        note = f", unpaired ({self.note})" if self.note else ""
        return f"{self.value:+.4g} [{self.low:+.4g}, {self.high:+.4g}], p {self.p_text}{note}"

    @property
    def p_text(self) -> str:
        """As it is read: no more than "< 0.0001" is known of a small one."""
        return "" if self.p is None else "< 0.0001" if self.p < 1e-4 else f"{self.p:.2g}"


def compare_results(name: str, a: MetricResult, b: MetricResult) -> Difference:
    """Of the metric `name`, with the suffix of a direction where it has one: is b better than a?"""
    name, _ = split_direction(name)
    if name not in discover_metrics():
        return Difference(note="there is no such metric")
    metric = get_metric(name)
    if reason := _why_incomparable(metric, a, b):
        return Difference(note=reason)
    if metric.better == "real":
        a, b = _distance_from_real(a), _distance_from_real(b)
    note = _why_unpaired(metric, a, b)
    value, (low, high), p = _independent_difference(a, b) if note else _paired_difference(a, b)
    gained = value > 0 if metric.better == "higher" else value < 0
    outcome: Outcome = "cannot tell" if low <= 0 <= high else "better" if gained else "worse"
    return Difference(value, low, high, p, outcome, note)


def _why_incomparable(metric: Metric, a: MetricResult, b: MetricResult) -> str:
    for result in (a, b):
        if None in (result.value, result.low, result.high):
            return str(result.detail.get("reason", "a value has no interval"))
        if result.failed_control:
            return result.failed_control
    if a.n != b.n:
        return f"n is {a.n} and {b.n}"
    missing = metric.better == "real" and None in (a.null, b.null)
    return "what real images get is not known" if missing else ""


def _why_unpaired(metric: Metric, a: MetricResult, b: MetricResult) -> str:
    if metric.reference != "test":
        return "it does not depend on the test images"
    if not ("halves" in a.detail and "halves" in b.detail):
        return "no values on halves of the test images"
    if a.detail["halves"]["test"] != b.detail["halves"]["test"]:
        return "other test images on each side"
    return "" if a.value == b.value or halves_of(b).ne(halves_of(a)).any() else "the halves do not differ"


def _distance_from_real(result: MetricResult) -> MetricResult:
    """|value - null|; its interval and its values on halves are turned to the side of the value."""
    value, null = _value(result), result.null or 0.0
    sign = 1.0 if value >= null else -1.0
    low, high = sorted(sign * (end - null) for end in result.bounds)
    detail = dict(result.detail)
    if "halves" in detail:
        detail["halves"] = {**detail["halves"], "values": format_halves(sign * (_read_halves(result) - null))}
    return replace(result, value=sign * (value - null), low=low, high=high, detail=detail)


def _value(result: MetricResult) -> float:
    return float(result.value or 0.0)


def _paired_difference(a: MetricResult, b: MetricResult) -> tuple[float, tuple[float, float], float]:
    parts = add_parts([_part_of_images(a, b), *(_part_of_seeds(side.detail) for side in (a, b))])
    value = _value(b) - _value(a)
    return value, parts.interval(value), parts.p_value(value)


def _part_of_images(a: MetricResult, b: MetricResult) -> Part:
    """Without what S^2 holds, the generated images of medians over seeds; at least half of the rest is true."""
    halves = halves_of(b) - halves_of(a)
    generated, second_order = (
        sum(part(side.detail) for side in (a, b)) for part in (_generated_part, _second_order_part)
    )
    shown = max(0.0, variance_between(halves) * half_size(a) - generated)
    return Part(max(shown - second_order, shown / 2), len(halves))


def half_size(result: MetricResult) -> float:
    """By what the variance of a value on a half becomes that on all images."""
    return float(result.detail["halves"]["size"]) / result.n


def _generated_part(detail: dict[str, Any]) -> float:
    return float(detail.get("seeds", {}).get("generated", 0.0))


def _second_order_part(detail: dict[str, Any]) -> float:
    return float(detail.get("second_order", 0.0))


def _part_of_seeds(detail: dict[str, Any]) -> Part:
    seeds = detail.get("seeds", {"between": 0.0, "count": 2})
    return Part(seeds["between"], seeds["count"] - 1)


def format_halves(values: Tensor) -> str:
    """[H, 2] as text: of a metrics file of another revision DVC hands on numbers and words, and no lists."""
    return " ".join(f"{value:.{DIGITS}g}" for value in values.flatten().tolist())


def _read_halves(result: MetricResult) -> Tensor:
    numbers = [float(word) for word in str(result.detail["halves"]["values"]).split()]
    return torch.tensor(numbers, dtype=torch.float64).view(-1, 2)


def halves_of(result: MetricResult) -> Tensor:
    """float64 [H, 2]; of a share v they are scaled about their mean m by sqrt(v (1 - v) / (m (1 - m)))."""
    values, value = _read_halves(result), _value(result)
    mean = float(values.mean())
    if "trials" not in result.detail or not (0 < mean < 1 and 0 < value < 1):
        return values
    return mean + (values - mean) * math.sqrt(value * (1 - value) / (mean * (1 - mean)))


def _independent_difference(a: MetricResult, b: MetricResult) -> tuple[float, tuple[float, float], float]:
    """The p-value is that of the half-width towards 0."""
    value = _value(b) - _value(a)
    low, high = difference_interval((_value(a), *a.bounds), (_value(b), *b.bounds))
    half = value - low if value > 0 else high - value
    return value, (low, high), math.erfc(Z * abs(value) / half / math.sqrt(2)) if half else float(value == 0)
