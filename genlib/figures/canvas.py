"""A sheet of paper in inches, and what is put on it: text, images, a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, SOFT, MADE, REAL = "#222222", "#8a8a8a", "#c8442f", "#5b8db8"
CELL = 0.62  # inches of one image
SIZE, POINTS = 8.5, 72  # of type, in points; points in an inch
DOTS = 150


def canvas(width: float, height: float, title: str) -> Axes:
    """A blank sheet in inches, (0, 0) at its lower left."""
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(width, height), dpi=DOTS, facecolor="white").add_axes((0, 0, 1, 1))
    sheet.set(xlim=(0, width), ylim=(0, height), autoscale_on=False)
    sheet.set_axis_off()
    text(sheet, 0.15, height - 0.28, title, fontsize=10.5, fontweight="bold")
    return sheet


def text(sheet: Axes, left: float, bottom: float, words: str, color: str = INK, **style: Any) -> None:
    sheet.text(left, bottom, words, color=color, va="baseline", **{"fontsize": SIZE, **style})


def struck(sheet: Axes, left: float, bottom: float, words: str) -> None:
    """Words with a line through them."""
    from matplotlib.textpath import TextPath

    text(sheet, left, bottom, words, color=SOFT)
    width = TextPath((0, 0), words, size=SIZE).get_extents().width / POINTS
    sheet.plot([left, left + width], [bottom + 0.035, bottom + 0.035], color=MADE, lw=1)


def image(sheet: Axes, left: float, bottom: float, pixels: Tensor, frame: str | None = None, label: str = "") -> None:
    """One image [C, H, W] of CELL inches with its lower left corner at (left, bottom)."""
    show(sheet, pixels, left, bottom, CELL, CELL)
    if frame:
        x, y = [left, left + CELL, left + CELL, left, left], [bottom, bottom, bottom + CELL, bottom + CELL, bottom]
        sheet.plot(x, y, color=frame, lw=1.5, solid_joinstyle="miter")
    if label:
        text(sheet, left + CELL / 2, bottom - 0.12, label, color=SOFT, fontsize=6.5, ha="center")


def show(sheet: Axes, picture: Tensor, left: float, bottom: float, width: float, height: float) -> None:
    """Draw uint8 [C, H, W], grey or RGB."""
    extent = (left, left + width, bottom, bottom + height)
    values = picture.permute(1, 2, 0).squeeze(-1).numpy()
    sheet.imshow(values, extent=extent, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")


def save(sheet: Axes, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    cast("Figure", sheet.figure).savefig(partial, format="png")
    return partial.replace(path)
