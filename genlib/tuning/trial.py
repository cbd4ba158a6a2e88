"""One trial of a search, as everybody but Ray sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

TrialStatus = Literal["running", "finished", "stopped early", "collapsed", "diverged", "error"]


@dataclass(frozen=True)
class TrialReport:
    """What a trial says of itself on its way: how many images it has seen, and what it scores now."""

    images_seen: int
    metrics: Mapping[str, float]


class TrialPruned(Exception):
    """A trial that is not worth its images any more: how it ends, and why."""

    def __init__(self, status: TrialStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass
class Trial:
    """Its knobs, its last scores, how far it came (images, seconds), how it ended and, if badly, why.

    `spent`: images of all trials together by the time this one ended. `knobs` of a trial of a population are those it
    has now.
    """

    number: int
    hyperparameters: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    images_seen: int = 0
    seconds: float = 0.0
    cumulative_images: int = 0
    status: TrialStatus = "running"
    reason: str = ""

    @property
    def has_ended(self) -> bool:
        return self.status != "running"

    @property
    def is_final(self) -> bool:
        """Ended for good: a process that died may be tried again."""
        return self.has_ended and self.status != "error"


class TrialCallback(Protocol):
    """Who wants to know of trials as they go."""

    def __call__(self, trial: Trial) -> None: ...
