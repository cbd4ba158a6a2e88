"""A trial of a search, independent of Ray, and its reports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from genlib.training.gan_state import DIVERGED, gan_state

TrialStatus = Literal["running", "finished", "stopped early", "collapsed", "diverged", "error"]
STOPPED_STATUSES = ("stopped early", "collapsed", "diverged")
# Columns of trials.csv beside hyperparameters and metrics; `spent` is Trial.cumulative_images.
OUTCOME_COLUMNS = ("status", "feasible", "winner", "front", "health", "images_seen", "seconds", "spent", "reason")


@dataclass(frozen=True)
class TrialReport:
    """What a trial yields."""

    images_seen: int
    metrics: Mapping[str, float]


class TrialPruned(Exception):
    """Raised by a trial that stops early: its final state, and why."""

    def __init__(self, status: TrialStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass
class Trial:
    """Metrics and hyperparameters (a population changes them) are those of the last report. `cumulative_images`: images
    that all trials had seen when this one ended. `reason`: why it failed, if it did."""

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
        """Whether it ended for good: a process that died may be retried."""
        return self.has_ended and self.status != "error"

    @property
    def health(self) -> str:
        """The state of a GAN (`training.gan_state`), "" for other models."""
        if self.status in ("diverged", "collapsed"):
            return DIVERGED if self.status == "diverged" else self.status
        return gan_state(self.metrics) or ""


TrialCallback = Callable[[Trial], None]
