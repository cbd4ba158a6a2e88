"""What each metric made of the planted faults: a table that says which metrics are to be believed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from genlib.evaluation.controls import CONTROL_LABELS
from genlib.formatting import format_interval, format_number
from genlib.metrics.questions import split_direction
from genlib.metrics.registry import group_by_question
from genlib.runs import ModelResults

SHIFT_WORDS = {"lower": "lower", "higher": "higher", "count": "their number"}


@dataclass(frozen=True)
class ControlCell:
    """One metric on one planted fault; `asked`: what the fault must do to it, "" where the metric need not see it;
    `failed`: how it did not."""

    text: str = ""
    interval: str = ""
    expected: str = ""
    failure: str = ""


@dataclass(frozen=True)
class ControlRow:
    """One metric on every fault, in the order of WORDS, and what it gives real images."""

    metric: str
    baseline: str
    cells: Sequence[ControlCell]
    n: int


def build_control_rows(models: Iterable[ModelResults]) -> list[ControlRow]:
    """A line per metric that was tried; of the first model that it was tried beside, for the faults are the same."""
    found: dict[str, ControlRow] = {}
    for model in models:
        for name, measure in model.metrics.items():
            metric, controls = split_direction(name)[0], measure.detail.get("controls")
            if controls and metric not in found:
                found[metric] = _build_row(metric, controls)
    return [found[name] for names in group_by_question(found).values() for name in names]


def _build_row(metric: str, controls: dict[str, Any]) -> ControlRow:
    first = next(iter(controls.values()))
    cells = [_build_cell(controls[fault]) if fault in controls else ControlCell() for fault in CONTROL_LABELS]
    return ControlRow(metric, format_number(first["real"]), cells, first["n"])


def _build_cell(facts: dict[str, Any]) -> ControlCell:
    ends = format_interval(facts["low"], facts["high"])
    return ControlCell(format_number(facts["value"]), ends, SHIFT_WORDS[facts["must"]], facts.get("failed") or "")
