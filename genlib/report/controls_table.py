"""What each metric made of the planted faults: a table that says which metrics are to be believed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from genlib.evaluation.controls import WORDS
from genlib.formatting import interval, number
from genlib.metrics.questions import by_question, way
from genlib.runs import ModelResults

MUST = {"lower": "lower", "higher": "higher", "count": "their number"}


@dataclass(frozen=True)
class Catch:
    """One metric on one planted fault; `asked`: what the fault must do to it, "" where the metric need not see it;
    `failed`: how it did not."""

    text: str = ""
    interval: str = ""
    asked: str = ""
    failed: str = ""


@dataclass(frozen=True)
class Line:
    """One metric on every fault, in the order of WORDS, and what it gives real images."""

    metric: str
    real: str
    cells: Sequence[Catch]
    n: int


def lines(models: Iterable[ModelResults]) -> list[Line]:
    """A line per metric that was tried; of the first model that it was tried beside, for the faults are the same."""
    found: dict[str, Line] = {}
    for model in models:
        for name, measure in model.measures.items():
            metric, controls = way(name)[0], measure.detail.get("controls")
            if controls and metric not in found:
                found[metric] = _line(metric, controls)
    return [found[name] for names in by_question(found).values() for name in names]


def _line(metric: str, controls: dict[str, Any]) -> Line:
    first = next(iter(controls.values()))
    cells = [_catch(controls[fault]) if fault in controls else Catch() for fault in WORDS]
    return Line(metric, number(first["real"]), cells, first["n"])


def _catch(facts: dict[str, Any]) -> Catch:
    ends = interval(facts["low"], facts["high"])
    return Catch(number(facts["value"]), ends, MUST[facts["must"]], facts.get("failed") or "")
