"""The table of controls: how each metric scores images with a known fault."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from genlib.formatting import format_interval, format_number
from genlib.metrics.questions import split_direction
from genlib.metrics.registry import CONTROL_LABELS, group_by_question
from genlib.runs import ModelResults

SHIFT_WORDS = {"lower": "lower", "higher": "higher", "count": "their number"}


class ControlCell(NamedTuple):
    """`expected`: what the fault must do to the metric, "" where that need not detect it; `failure`: how it did not."""

    text: str = ""
    interval: str = ""
    expected: str = ""
    failure: str = ""


class ControlRow(NamedTuple):
    """One metric on every control, in the order of CONTROL_LABELS; `baseline`: its value on real images."""

    metric: str
    baseline: str
    cells: Sequence[ControlCell]
    n: int


def build_control_rows(models: Iterable[ModelResults]) -> list[ControlRow]:
    """A row per metric that has controls, of the first model that has it: the faults are the same for all."""
    rows: dict[str, ControlRow] = {}
    for model in models:
        for name, result in model.metrics.items():
            metric, controls = split_direction(name)[0], result.detail.get("controls")
            if controls and metric not in rows:
                first = next(iter(controls.values()))
                cells = [
                    _build_cell(**controls[name]) if name in controls else ControlCell() for name in CONTROL_LABELS
                ]
                rows[metric] = ControlRow(metric, format_number(first["real"]), cells, first["n"])
    return [rows[name] for name in chain(*group_by_question(rows).values())]


def _build_cell(value: float | None, low: float | None, high: float | None, must: str, **facts: Any) -> ControlCell:
    return ControlCell(format_number(value), format_interval(low, high), SHIFT_WORDS[must], facts.get("failed") or "")
