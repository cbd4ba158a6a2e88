"""Training curves over images seen: losses, and the balance of a GAN."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from genlib.formatting import display_name, format_number
from genlib.report.embedded_images import INK, PALETTE, SOFT, EmbeddedImage, add_legend, choose_scale, render_plot
from genlib.runs import History
from genlib.training.gan_state import GANState, gan_state

Points = Sequence[tuple[float, float]]
VERTICAL_TEXT_STYLE: dict[str, Any] = {"ha": "center", "va": "top", "rotation": 90, "color": INK, "fontsize": 7.5}


class CurveGroup(NamedTuple):
    """Columns of a history that share a panel; `is_health`: they watch the training, no step lowers them."""

    title: str
    pattern: str
    is_health: bool = True
    is_fraction: bool = False
    log_scale: bool = False


CURVE_GROUPS = (
    CurveGroup("Loss", r"loss(_\w+)?", is_health=False),
    CurveGroup("Discriminator is right", r"d_(real|fake)", is_fraction=True),
    CurveGroup("Logit gap, real minus fake", r"logit_gap"),
    CurveGroup("Gradient norm", r"grad_norm_\w+", log_scale=True),
    CurveGroup("Gradient penalty", r"r[12]", log_scale=True),
    CurveGroup("Repertoire, in pixels", r"pixel_coverage|duplicate_rate", is_fraction=True),
)


class UnhealthySpan(NamedTuple):
    """A stretch of training, in images seen, in which a GAN was out of balance."""

    start: float
    end: float
    state: GANState


def plot_training_curves(model: str, history: History, *, health: bool) -> list[EmbeddedImage]:
    """A plot per group of columns; a column of no group is a loss on its own, after the others."""
    panels: dict[CurveGroup, dict[str, Points]] = {group: {} for group in CURVE_GROUPS}
    for column in history:
        group, points = _find_group(column), _finite_points(history, column)
        if column != "images_seen" and group.is_health == health and points:
            panels.setdefault(group, {})[column] = points
    spans = unhealthy_spans(history) if health else []
    return [_plot_group(model, group, lines, spans) for group, lines in panels.items() if lines]


def unhealthy_spans(history: History) -> list[UnhealthySpan]:
    """The stretches between reports that end in a state other than balance; equal ones that touch are one."""
    spans: list[UnhealthySpan] = []
    start = 0.0
    for row in zip(*history.values(), strict=True):
        report = {name: value for name, value in zip(history, row, strict=True) if value is not None}
        end, state = report.pop("images_seen"), gan_state(report)
        if state and state != "balanced":
            extends_last = spans and spans[-1].state == state and spans[-1].end == start
            spans.append(UnhealthySpan(spans.pop().start if extends_last else start, end, state))
        start = end
    return spans


def _find_group(column: str) -> CurveGroup:
    title = display_name(column).capitalize() if len(column) > 2 else column.upper()
    own = CurveGroup(title, re.escape(column), is_health=False)
    return next((group for group in CURVE_GROUPS if re.fullmatch(group.pattern, column)), own)


def _finite_points(history: History, column: str) -> Points:
    pairs = zip(history["images_seen"], history[column], strict=True)
    return [(x, y) for x, y in pairs if x is not None and y is not None and math.isfinite(y)]


def _plot_group(
    model: str, group: CurveGroup, lines: Mapping[str, Points], spans: Sequence[UnhealthySpan]
) -> EmbeddedImage:
    def draw(axes: Axes) -> None:
        for (name, points), color in zip(lines.items(), PALETTE * len(lines), strict=False):
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=color, linewidth=1.6, label=display_name(name), marker="o" if len(x) == 1 else "")
        if group.log_scale:
            axes.set_yscale(choose_scale([y for points in lines.values() for _, y in points]))
        if group.is_fraction:
            axes.set_ylim(-0.03, 1.03)
        for span in spans:
            axes.axvspan(span.start, span.end, color=SOFT, alpha=0.15, linewidth=0)
            middle = (span.start + span.end) / 2
            axes.text(middle, 0.97, span.state, transform=axes.get_xaxis_transform(), **VERTICAL_TEXT_STYLE)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("images seen")
        if len(lines) > 1:
            add_legend(axes)

    ends = "; ".join(
        f"{display_name(name)} from {format_number(points[0][1])} to {format_number(points[-1][1])}"
        for name, points in lines.items()
    )
    states = "".join(f" From {format_number(s.start)} to {format_number(s.end)} images: {s.state}." for s in spans)
    return render_plot(group.title, f"{group.title} of {model} over images seen: {ends}.{states}", draw)
