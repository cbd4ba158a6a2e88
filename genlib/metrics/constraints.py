"""Constraints of a sweep: bounds on other metrics."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from genlib.errors import InputError
from genlib.metrics.registry import get_metric


@dataclass(frozen=True)
class Constraint:
    metric: str
    bound: float
    at_least: bool

    def __str__(self) -> str:
        return f"{self.metric} {'at least' if self.at_least else 'at most'} {self.bound:.3g}"

    def violation(self, metrics: Mapping[str, float]) -> float:
        """0 within the bound; outside the gap over gap + |bound|; 1 where there is no finite value."""
        value = metrics.get(self.metric)
        if value is None or not math.isfinite(value):
            return 1.0
        gap = max(0.0, self.bound - value if self.at_least else value - self.bound)
        return gap / (gap + abs(self.bound)) if gap else 0.0


def build_constraints(relative_bounds: Mapping[str, float], baselines: Mapping[str, float]) -> list[Constraint]:
    """`tune.constraints`, relative to what real images get: at least this share of it where higher is better, at most
    this much above it where lower is. Raises InputError where a metric has no baseline, with so few real images."""
    found = []
    for name, amount in relative_bounds.items():
        if name not in baselines:
            problem = "got no value for real images, expected a metric that these data allow"
            raise InputError(f"tune.constraints.{name}: {problem}")
        at_least = get_metric(name).better != "lower"
        bound = amount * baselines[name] if at_least else baselines[name] + amount
        found.append(Constraint(name, bound, at_least))
    return found
