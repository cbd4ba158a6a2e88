"""The look of drawn plots: one small picture per panel, once on light paper and once on dark."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genlib.report.embedded_images import EmbeddedImage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE_INCHES = (4.4, 2.5)  # inches
DPI = 150


@dataclass(frozen=True)
class Theme:
    """Colours as in page.html; `lines` in the order in which they are used."""

    paper: str
    ink: str
    soft: str
    rule: str
    palette: tuple[str, ...]


LIGHT = Theme("#ffffff", "#24211d", "#6d675f", "#ddd8d0", ("#c8442f", "#3f78a8", "#5a8a4f", "#9a6fb0", "#b98a2d"))
DARK = Theme("#1f1d1a", "#ece7df", "#a39c92", "#3d3934", ("#ef7a64", "#82b4dc", "#93c286", "#c5a0d8", "#deb864"))

DrawPanel = Callable[["Axes", Theme], None]


def render_plot(title: str, alt: str, draw: DrawPanel) -> EmbeddedImage:
    """The picture that `draw` makes, in both themes; where everything stands is found once."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    light, dark = (_draw_figure(draw, theme) for theme in (LIGHT, DARK))
    ConstrainedLayoutEngine().execute(light)
    for found, axes in zip(light.axes, dark.axes, strict=True):
        axes.set_position(found.get_position())
    return EmbeddedImage(title, alt, _encode_png(light), _encode_png(dark))


def _draw_figure(draw: DrawPanel, theme: Theme) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import AutoLocator

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, facecolor=theme.paper)
    axes = figure.add_subplot(facecolor=theme.paper)
    _style_axes(axes, theme)
    draw(axes, theme)
    if isinstance(axes.xaxis.get_major_locator(), AutoLocator):
        axes.locator_params(axis="x", nbins=5)
    return figure


def _encode_png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", pil_kwargs={"compress_level": 1})  # the page packs it anew
    return file.getvalue()


def _style_axes(axes: Axes, theme: Theme) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(theme.rule)
    axes.grid(axis="y", color=theme.rule, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, labelsize=8, colors=theme.soft)
    axes.xaxis.label.set(color=theme.soft, fontsize=8)
    axes.yaxis.label.set(color=theme.soft, fontsize=8)


def add_legend(axes: Axes, theme: Theme) -> None:
    """Above the panel, in one line."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=5,
        frameon=False,
        fontsize=8,
        labelcolor=theme.ink,
        handlelength=1.2,
        columnspacing=1.4,
        borderpad=0.2,
    )


def choose_axis_scale(values: Sequence[float]) -> str:
    """The scale of an axis: logarithmic for positive values that span more than a factor of 20."""
    return "log" if min(values) > 0 and max(values) > 20 * min(values) else "linear"
