"""A number that may leave the house: a value with its interval, what real images score, and on how many images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


class Undefined(Exception):
    """A metric has no value on this evidence; the message is the reason, for the reader of the report."""


@dataclass(frozen=True)
class Measure:
    """`low` and `high`: 95 % interval; `null`: the same metric of real images in the place of the fakes, same `n`.

    Value and null may be None, with the reason in `detail`. No number in it is ever infinite or NaN: such a measure
    raises Undefined as it is made.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    null: float | None = None
    n: int = 0
    detail: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, part in asdict(self).items():
            object.__setattr__(self, name, plain(part, name))

    @property
    def doubt(self) -> str | None:
        """Why it is not to be believed: the first control that this metric failed; None where it passed them."""
        controls = self.detail.get("controls", {}).values()
        return next((str(control["failed"]) for control in controls if control.get("failed")), None)

    def __str__(self) -> str:
        """value [low, high], what real images get; or why there is none, or none to be believed."""
        if self.value is None:
            return f"none ({self.detail.get('reason', 'no reason given')})"
        ends = ("..." if end is None else f"{end:.4g}" for end in (self.low, self.high))
        real = "" if self.null is None else f", real images {self.null:.4g}"
        doubt = f"; not to be believed: {self.doubt}" if self.doubt else ""
        return f"{self.value:.4g} [{', '.join(ends)}]{real}, n {self.n}{doubt}"


def plain(thing: Any, where: str = "value") -> Any:
    """`thing` in the plain numbers, strings, lists and dicts of JSON.

    Raises:
        Undefined: a number in it is not finite.
    """
    if isinstance(thing, Mapping):
        return {str(key): plain(part, f"{where}.{key}") for key, part in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(part, where) for part in thing]
    if hasattr(thing, "tolist"):
        return plain(thing.tolist(), where)
    if isinstance(thing, float) and not math.isfinite(thing):
        raise Undefined(f"the {where} came out as {thing}")
    return thing if thing is None or isinstance(thing, bool | int | float) else str(thing)


def to_json(measures: Mapping[str, Measure], card: Mapping[str, Any]) -> dict[str, Any]:
    """What `metrics.json` holds: each measure under `metrics`, each verdict under `verdicts`, and the `card`."""
    from genlib.evaluation.verdicts import verdicts

    return {
        "metrics": {name: asdict(measure) for name, measure in measures.items()},
        "verdicts": {verdict.key: asdict(verdict) for verdict in verdicts(measures)},
        "card": plain(card, "card"),
    }
