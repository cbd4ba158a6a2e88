"""What a sweep may not pay with: bounds on other metrics, beyond which no score counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genlib.errors import InputError
from genlib.metrics.registry import get_metric


@dataclass(frozen=True)
class Constraint:
    """`metric` must be at least `bound`, or at most, where less is better."""

    metric: str
    bound: float
    at_least: bool

    def __str__(self) -> str:
        return f"{self.metric} {'at least' if self.at_least else 'at most'} {self.bound:.3g}"

    def violation(self, metrics: Mapping[str, float]) -> float:
        """How far outside a model with these metrics is: 0 within, the gap as a share of gap and bound beyond, and 1
        where there is no value."""
        value = metrics.get(self.metric)
        if value is None:
            return 1.0
        gap = max(0.0, self.bound - value if self.at_least else value - self.bound)
        return gap / (gap + abs(self.bound)) if gap else 0.0


def build_constraints(relative_bounds: Mapping[str, float], baselines: Mapping[str, float]) -> list[Constraint]:
    """The bounds of `tune.constraints`, from what real images get: of a metric of which more is better, at least that share
    of theirs; of which less is better, at most that much above theirs.

    Raises:
        InputError: real images get no value, at so few of them.
    """
    return [_build_constraint(name, amount, baselines) for name, amount in relative_bounds.items()]


def _build_constraint(name: str, amount: float, baselines: Mapping[str, float]) -> Constraint:
    if name not in baselines:
        raise InputError(
            f"tune.constraints.{name}: got no value for real images, expected a metric that these data allow"
        )
    more = get_metric(name).better != "lower"
    return Constraint(name, amount * baselines[name] if more else baselines[name] + amount, more)
