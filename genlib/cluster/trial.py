"""One trial of a sweep, as everybody but Ray sees it."""

from __future__ import annotations

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


class Listener(Protocol):
    """Who wants to know of trials as they go."""

    def __call__(self, trial: Trial, ended: bool) -> None: ...
