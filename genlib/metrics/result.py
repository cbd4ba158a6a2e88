"""The result of a metric: value, interval, baseline of real images, number of images."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from genlib.metrics.stats.intervals import mean_interval, normal_interval, wilson


class UndefinedMetric(Exception):
    """Why a metric has no value on these inputs."""


@dataclass(frozen=True)
class MetricResult:
    """`low` and `high`: 95 % interval; `null`: the same metric of real images in the place of the generated ones. Value
    and null may be None, with the reason in `detail`. Raises UndefinedMetric where a number is not finite."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    null: float | None = None
    n: int = 0
    detail: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, parts: Mapping[str, Any]) -> Self:
        """From an entry of metrics.json, whose other keys are left out."""
        return cls(**{key: value for key, value in parts.items() if key in cls.__dataclass_fields__})

    def __post_init__(self) -> None:
        for name, part in asdict(self).items():
            object.__setattr__(self, name, to_jsonable(part, name))

    @classmethod
    def of_share(cls, count: int, n: int, **detail: Any) -> Self:
        return cls(count / n, *wilson(count, n), n=n, detail=detail)

    @classmethod
    def of_mean(cls, values: Any, **detail: Any) -> Self:
        """Of a tensor [n] of independent values, with the t-interval."""
        return cls(float(values.mean()), *mean_interval(values.tolist()), n=len(values), detail=detail)

    @classmethod
    def of_variance(cls, value: float, variance: float, *, n: int, at_least: float = -math.inf, **detail: Any) -> Self:
        """Of an estimate that is about normal, with its variance."""
        low, high = normal_interval(value, variance)
        return cls(value, max(at_least, low), high, n=n, detail=detail)

    @property
    def bounds(self) -> tuple[float, float]:
        """The ends of the interval; the value in the place of a missing one."""
        low, high = (self.value if end is None else end for end in (self.low, self.high))
        return float(low or 0.0), float(high or 0.0)

    @property
    def p(self) -> float | None:
        """Of its difference from what real images get, where that was simulated."""
        found: float | None = self.detail.get("null", {}).get("p")
        return found

    @property
    def failed_control(self) -> str | None:
        """The first failed control, which is why it is not to be believed; or None."""
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


def shortfall(value: float, baseline: float) -> float | None:
    """How far a share or an effective number falls short of that of real images."""
    return 1 - value / baseline if baseline > 0 else None


def to_jsonable(value: Any, where: str = "value") -> Any:
    """`value` in what JSON holds. Raises UndefinedMetric where a number in it is not finite."""
    if isinstance(value, Mapping):
        return {str(key): to_jsonable(part, f"{where}.{key}") for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [to_jsonable(part, where) for part in value]
    if hasattr(value, "tolist"):
        return to_jsonable(value.tolist(), where)
    if isinstance(value, float) and not math.isfinite(value):
        raise UndefinedMetric(f"the {where} came out as {value}")
    return value if value is None or isinstance(value, bool | int | float) else str(value)
