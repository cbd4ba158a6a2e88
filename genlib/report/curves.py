"""Training as curves over images seen: what was lowered, and for two players whether they are in balance."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genlib.formatting import label, number
from genlib.report.embedded_images import Picture
from genlib.report.plots import Theme, legend, plot, scale
from genlib.runs import History
from genlib.training.gan_state import State, state

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Family:
    """Columns of a history that belong in one panel; `health`: they watch the training and are not lowered by it."""

    title: str
    pattern: str
    health: bool = True
    share: bool = False
    log: bool = False


_TOP: Any = {"ha": "center", "va": "top", "rotation": 90}
FAMILIES = (
    Family("Loss", r"loss(_\w+)?", health=False),
    Family("Discriminator is right", r"d_(real|fake)", share=True),
    Family("Logit gap, real minus fake", r"logit_gap"),
    Family("Gradient norm", r"grad_norm_\w+", log=True),
    Family("Gradient penalty", r"r[12]", log=True),
    Family("Repertoire, in pixels", r"pixel_coverage|duplicate_rate", share=True),
)

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Spell:
    """A stretch of training, in images seen, in which a game of two players stood badly."""

    start: float
    end: float
    state: State


def curves(model: str, history: History, *, health: bool) -> list[Picture]:
    """One picture per family of columns; a column of no family is one of its own, among what is lowered."""
    panels: dict[Family, dict[str, Points]] = {}
    for column in history:
        family = _family(column)
        points = _points(history, column)
        if column != "images_seen" and family.health == health and points:
            panels.setdefault(family, {})[column] = points
    bad = spells(history) if health else []
    ordered = sorted(panels.items(), key=lambda item: _place(item[0]))
    return [_panel(model, family, lines, bad) for family, lines in ordered]


def spells(history: History) -> list[Spell]:
    """The stretches between reports that end in a state other than balance; equal ones that touch are one."""
    found: list[Spell] = []
    before = 0.0
    for row in zip(*history.values(), strict=True):
        report = {name: value for name, value in zip(history, row, strict=True) if value is not None}
        seen, stands = report.pop("images_seen"), state(report)
        if stands and stands != "balanced":
            goes_on = found and found[-1].state == stands and found[-1].end == before
            start = found.pop().start if goes_on else before
            found.append(Spell(start, seen, stands))
        before = seen
    return found


def _family(column: str) -> Family:
    own = Family(label(column).capitalize() if len(column) > 2 else column.upper(), re.escape(column), health=False)
    return next((family for family in FAMILIES if re.fullmatch(family.pattern, column)), own)


def _place(family: Family) -> int:
    return FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)


def _points(history: History, column: str) -> Points:
    pairs = zip(history["images_seen"], history[column], strict=True)
    return [(x, y) for x, y in pairs if x is not None and y is not None and math.isfinite(y)]


def _panel(model: str, family: Family, lines: Mapping[str, Points], bad: Sequence[Spell]) -> Picture:
    ends = "; ".join(f"{label(name)} from {number(p[0][1])} to {number(p[-1][1])}" for name, p in lines.items())
    stood = "".join(f" From {number(s.start)} to {number(s.end)} images: {s.state}." for s in bad)

    def draw(axes: Axes, theme: Theme) -> None:
        for (name, points), colour in zip(lines.items(), theme.lines * len(lines), strict=False):
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=colour, linewidth=1.6, label=label(name), marker="o" if len(x) == 1 else "")
        if family.log:
            axes.set_yscale(scale([y for points in lines.values() for _, y in points]))
        if family.share:
            axes.set_ylim(-0.03, 1.03)
        for spell in bad:
            _mark(axes, spell, theme)
        _images_axis(axes)
        if len(lines) > 1:
            legend(axes, theme)

    return plot(family.title, f"{family.title} of {model} over images seen: {ends}.{stood}", draw)


def _mark(axes: Axes, spell: Spell, theme: Theme) -> None:
    axes.axvspan(spell.start, spell.end, color=theme.soft, alpha=0.15, linewidth=0)
    middle = (spell.start + spell.end) / 2
    axes.text(middle, 0.97, spell.state, transform=axes.get_xaxis_transform(), color=theme.ink, fontsize=7.5, **_TOP)


def _images_axis(axes: Axes) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("images seen")
