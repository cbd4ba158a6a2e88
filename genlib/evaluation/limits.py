"""What a sweep may not pay with: bounds on other metrics, beyond which no score counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from genlib.errors import InputError
from genlib.evaluation.metric import find


@dataclass(frozen=True)
class Limit:
    """`metric` must be at least `bound`, or at most, where less is better."""

    metric: str
    bound: float
    at_least: bool

    def __str__(self) -> str:
        return f"{self.metric} {'at least' if self.at_least else 'at most'} {self.bound:.3g}"

    def kept(self, metrics: Mapping[str, float]) -> bool:
        """Whether a model with these metrics keeps within it; one that has no value does not."""
        value = metrics.get(self.metric)
        return value is not None and (value >= self.bound if self.at_least else value <= self.bound)


def limits(asked: Mapping[str, float], nulls: Mapping[str, float]) -> list[Limit]:
    """The bounds of `tune.limits`, from what real images get: of a metric of which more is better, at least that share
    of theirs; of which less is better, at most that much above theirs.

    Raises:
        InputError: real images get no value, at so few of them.
    """
    return [_limit(name, amount, nulls) for name, amount in asked.items()]


def _limit(name: str, amount: float, nulls: Mapping[str, float]) -> Limit:
    if name not in nulls:
        raise InputError(f"tune.limits.{name}: found no value for real images, legal: a metric that these data allow")
    more = find(name).better != "lower"
    return Limit(name, amount * nulls[name] if more else nulls[name] + amount, more)
