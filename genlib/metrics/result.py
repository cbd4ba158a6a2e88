"""A number that may leave the house: a value with its interval, what real images score, and on how many images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


class UndefinedMetric(Exception):
    """A metric has no value on this evidence; the message is the reason, for the reader of the report."""


@dataclass(frozen=True)
class MetricResult:
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
            object.__setattr__(self, name, to_jsonable(part, name))

    @property
    def failed_control(self) -> str | None:
        """Why it is not to be believed: the first control that this metric failed; None where it passed them."""
        controls = self.detail.get("controls", {}).values()
        return next((str(control["failed"]) for control in controls if control.get("failed")), None)

    def __str__(self) -> str:
        """value [low, high], what real images get; or why there is none, or none to be believed."""
        if self.value is None:
            return f"none ({self.detail.get('reason', 'no reason given')})"
        ends = ("..." if end is None else f"{end:.4g}" for end in (self.low, self.high))
        real = "" if self.null is None else f", real images {self.null:.4g}"
        doubt = f"; not to be believed: {self.failed_control}" if self.failed_control else ""
        return f"{self.value:.4g} [{', '.join(ends)}]{real}, n {self.n}{doubt}"


def to_jsonable(value: Any, where: str = "value") -> Any:
    """`thing` in the plain numbers, strings, lists and dicts of JSON.

    Raises:
        Undefined: a number in it is not finite.
    """
    if isinstance(value, Mapping):
        return {str(key): to_jsonable(part, f"{where}.{key}") for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_jsonable(part, where) for part in value]
    if hasattr(value, "tolist"):
        return to_jsonable(value.tolist(), where)
    if isinstance(value, float) and not math.isfinite(value):
        raise UndefinedMetric(f"the {where} came out as {value}")
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def report_to_json(results: Mapping[str, MetricResult], card: Mapping[str, Any]) -> dict[str, Any]:
    """What `metrics.json` holds: each measure under `metrics`, each verdict under `verdicts`, and the `card`."""
    from genlib.evaluation.verdicts import compute_verdicts

    return {
        "metrics": {name: asdict(measure) for name, measure in results.items()},
        "verdicts": {verdict.key: asdict(verdict) for verdict in compute_verdicts(results)},
        "card": to_jsonable(card, "card"),
    }
