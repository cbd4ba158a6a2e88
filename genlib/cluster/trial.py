"""One trial of a sweep, as everybody but Ray sees it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Status = Literal["finished", "stopped early", "collapsed", "diverged", "error"]


@dataclass
class Trial:
    """Its knobs, its last scores, how far it came (images, seconds), how it ended and, if badly, why."""

    number: int
    knobs: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    images_seen: int = 0
    seconds: float = 0.0
    status: Status = "finished"
    reason: str = ""


class Bound(Protocol):
    """What a trial may not pay with."""

    def kept(self, metrics: Mapping[str, float]) -> bool: ...


def feasible(trial: Trial, metric: str, bounds: Iterable[Bound]) -> bool:
    """Whether the trial came to a score and keeps within every bound."""
    scored = metric in trial.metrics and trial.status in ("finished", "stopped early")
    return scored and all(bound.kept(trial.metrics) for bound in bounds)


def best(trials: Sequence[Trial], metric: str, mode: Literal["min", "max"], bounds: Iterable[Bound]) -> Trial | None:
    """The feasible trial with the best score of those that ran to their end."""
    sign, bounds = (1 if mode == "min" else -1), list(bounds)
    fit = [trial for trial in trials if trial.status == "finished" and feasible(trial, metric, bounds)]
    return min(fit, key=lambda trial: sign * trial.metrics[metric], default=None)


class Listener(Protocol):
    """Who wants to know of trials as they go."""

    def __call__(self, trial: Trial, ended: bool) -> None: ...
