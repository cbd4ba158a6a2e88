"""A sheet of paper in inches, and what is put on it: text, images, a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from genlib.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT_COLOR, MUTED_COLOR, GENERATED_COLOR, REAL_COLOR = "#222222", "#8a8a8a", "#c8442f", "#5b8db8"
IMAGE_INCHES = 0.62  # inches of one image
FONT_SIZE, POINTS_PER_INCH = 8.5, 72  # of type, in points; points in an inch
DPI = 150


def new_canvas(width: float, height: float, title: str) -> Axes:
    """A blank sheet in inches, (0, 0) at its lower left."""
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(width, height), dpi=DPI, facecolor="white").add_axes((0, 0, 1, 1))
    sheet.set(xlim=(0, width), ylim=(0, height), autoscale_on=False)
    sheet.set_axis_off()
    add_text(sheet, 0.15, height - 0.28, title, fontsize=10.5, fontweight="bold")
    return sheet


def add_text(ax: Axes, left: float, bottom: float, words: str, color: str = TEXT_COLOR, **style: Any) -> None:
    ax.text(left, bottom, words, color=color, va="baseline", **{"fontsize": FONT_SIZE, **style})


def strikethrough(ax: Axes, left: float, bottom: float, words: str) -> None:
    """Words with a line through them."""
    from matplotlib.textpath import TextPath

    add_text(ax, left, bottom, words, color=MUTED_COLOR)
    width = TextPath((0, 0), words, size=FONT_SIZE).get_extents().width / POINTS_PER_INCH
    ax.plot([left, left + width], [bottom + 0.035, bottom + 0.035], color=GENERATED_COLOR, lw=1)


def add_thumbnail(
    ax: Axes, left: float, bottom: float, pixels: Tensor, frame: str | None = None, label: str = ""
) -> None:
    """One image [C, H, W] of CELL inches with its lower left corner at (left, bottom)."""
    add_image(ax, pixels, left, bottom, IMAGE_INCHES, IMAGE_INCHES)
    if frame:
        x, y = (
            [left, left + IMAGE_INCHES, left + IMAGE_INCHES, left, left],
            [bottom, bottom, bottom + IMAGE_INCHES, bottom + IMAGE_INCHES, bottom],
        )
        ax.plot(x, y, color=frame, lw=1.5, solid_joinstyle="miter")
    if label:
        add_text(ax, left + IMAGE_INCHES / 2, bottom - 0.12, label, color=MUTED_COLOR, fontsize=6.5, ha="center")


def add_image(ax: Axes, pixels: Tensor, left: float, bottom: float, width: float, height: float) -> None:
    """Draw uint8 [C, H, W], grey or RGB."""
    extent = (left, left + width, bottom, bottom + height)
    values = pixels.permute(1, 2, 0).squeeze(-1).numpy()
    ax.imshow(values, extent=extent, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")


def save_figure(ax: Axes, path: Path) -> Path:
    with atomic_path(path) as partial:
        cast("Figure", ax.figure).savefig(partial, format="png")
    return path
