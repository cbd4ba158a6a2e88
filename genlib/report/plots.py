"""The style of the plots of the page: small panels on white, which a dark page inverts."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from genlib.report.embedded_images import EmbeddedImage

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES, DPI = (4.4, 2.5), 150
INK, SOFT, RULE = "#24211d", "#6d675f", "#ddd8d0"  # as in page.html
PALETTE = ("#c8442f", "#3f78a8", "#5a8a4f", "#9a6fb0", "#b98a2d")  # of lines, in the order in which they are drawn
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": RULE,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 8,
    **{f"{axis}tick.{key}": value for axis in "xy" for key, value in (("color", SOFT), ("labelsize", 8))},
    **{f"{axis}tick.{kind}.size": 0 for axis in "xy" for kind in ("major", "minor")},
}


def render_plot(title: str, alt: str, draw: Callable[[Axes], None]) -> EmbeddedImage:
    """The panel that `draw` fills."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import AutoLocator

    with rc_context(STYLE):
        figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        if isinstance(axes.xaxis.get_major_locator(), AutoLocator):
            axes.locator_params(axis="x", nbins=5)
        png = io.BytesIO()
        figure.savefig(png, format="png", facecolor="white", pil_kwargs={"compress_level": 1})  # becomes WebP
    return EmbeddedImage(title, alt, png.getvalue())


def add_legend(axes: Axes) -> None:
    """Above the panel, in one line."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=5,
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        handlelength=1.2,
        columnspacing=1.4,
        borderpad=0.2,
    )


def choose_axis_scale(values: Sequence[float]) -> str:
    """The scale of an axis: logarithmic for positive values that span more than a factor of 20."""
    return "log" if min(values) > 0 and max(values) > 20 * min(values) else "linear"
