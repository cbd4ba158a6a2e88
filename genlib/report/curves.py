"""Training as curves over images seen: what was lowered, and for two players whether they are in balance."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genlib.formatting import display_name, format_number
from genlib.report.embedded_images import EmbeddedImage
from genlib.report.plots import Theme, add_legend, choose_axis_scale, render_plot
from genlib.runs import History
from genlib.training.gan_state import GANState, gan_state

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class CurveGroup:
    """Columns of a history that belong in one panel; `health`: they watch the training and are not lowered by it."""

    title: str
    pattern: str
    is_health: bool = True
    is_fraction: bool = False
    log_scale: bool = False


VERTICAL_TEXT_STYLE: Any = {"ha": "center", "va": "top", "rotation": 90}
CURVE_GROUPS = (
    CurveGroup("Loss", r"loss(_\w+)?", is_health=False),
    CurveGroup("Discriminator is right", r"d_(real|fake)", is_fraction=True),
    CurveGroup("Logit gap, real minus fake", r"logit_gap"),
    CurveGroup("Gradient norm", r"grad_norm_\w+", log_scale=True),
    CurveGroup("Gradient penalty", r"r[12]", log_scale=True),
    CurveGroup("Repertoire, in pixels", r"pixel_coverage|duplicate_rate", is_fraction=True),
)

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class UnhealthySpan:
    """A stretch of training, in images seen, in which a game of two players stood badly."""

    start: float
    end: float
    state: GANState


def plot_training_curves(model: str, history: History, *, health: bool) -> list[EmbeddedImage]:
    """One picture per family of columns; a column of no family is one of its own, among what is lowered."""
    panels: dict[CurveGroup, dict[str, Points]] = {}
    for column in history:
        family = _find_group(column)
        points = _finite_points(history, column)
        if column != "images_seen" and family.is_health == health and points:
            panels.setdefault(family, {})[column] = points
    bad = unhealthy_spans(history) if health else []
    ordered = sorted(panels.items(), key=lambda item: _group_order(item[0]))
    return [_plot_group(model, family, lines, bad) for family, lines in ordered]


def unhealthy_spans(history: History) -> list[UnhealthySpan]:
    """The stretches between reports that end in a state other than balance; equal ones that touch are one."""
    found: list[UnhealthySpan] = []
    before = 0.0
    for row in zip(*history.values(), strict=True):
        report = {name: value for name, value in zip(history, row, strict=True) if value is not None}
        seen, stands = report.pop("images_seen"), gan_state(report)
        if stands and stands != "balanced":
            goes_on = found and found[-1].state == stands and found[-1].end == before
            start = found.pop().start if goes_on else before
            found.append(UnhealthySpan(start, seen, stands))
        before = seen
    return found


def _find_group(column: str) -> CurveGroup:
    own = CurveGroup(
        display_name(column).capitalize() if len(column) > 2 else column.upper(), re.escape(column), is_health=False
    )
    return next((family for family in CURVE_GROUPS if re.fullmatch(family.pattern, column)), own)


def _group_order(group: CurveGroup) -> int:
    return CURVE_GROUPS.index(group) if group in CURVE_GROUPS else len(CURVE_GROUPS)


def _finite_points(history: History, column: str) -> Points:
    pairs = zip(history["images_seen"], history[column], strict=True)
    return [(x, y) for x, y in pairs if x is not None and y is not None and math.isfinite(y)]


def _plot_group(
    model: str, group: CurveGroup, lines: Mapping[str, Points], spans: Sequence[UnhealthySpan]
) -> EmbeddedImage:
    ends = "; ".join(
        f"{display_name(name)} from {format_number(p[0][1])} to {format_number(p[-1][1])}" for name, p in lines.items()
    )
    stood = "".join(f" From {format_number(s.start)} to {format_number(s.end)} images: {s.state}." for s in spans)

    def draw(axes: Axes, theme: Theme) -> None:
        for (name, points), colour in zip(lines.items(), theme.palette * len(lines), strict=False):
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=colour, linewidth=1.6, label=display_name(name), marker="o" if len(x) == 1 else "")
        if group.log_scale:
            axes.set_yscale(choose_axis_scale([y for points in lines.values() for _, y in points]))
        if group.is_fraction:
            axes.set_ylim(-0.03, 1.03)
        for spell in spans:
            _shade_span(axes, spell, theme)
        _format_images_axis(axes)
        if len(lines) > 1:
            add_legend(axes, theme)

    return render_plot(group.title, f"{group.title} of {model} over images seen: {ends}.{stood}", draw)


def _shade_span(axes: Axes, span: UnhealthySpan, theme: Theme) -> None:
    axes.axvspan(span.start, span.end, color=theme.soft, alpha=0.15, linewidth=0)
    middle = (span.start + span.end) / 2
    axes.text(
        middle,
        0.97,
        span.state,
        transform=axes.get_xaxis_transform(),
        color=theme.ink,
        fontsize=7.5,
        **VERTICAL_TEXT_STYLE,
    )


def _format_images_axis(axes: Axes) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("images seen")
