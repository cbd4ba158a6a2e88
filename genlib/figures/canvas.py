"""A canvas in inches with text, images and axes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from genlib.data.images import make_grid
from genlib.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT_COLOR, MUTED_COLOR, GENERATED_COLOR, REAL_COLOR = "#222222", "#8a8a8a", "#c8442f", "#5b8db8"
IMAGE_INCHES = 0.62
FONT_SIZE, POINTS_PER_INCH = 8.5, 72
DPI = 150


def new_canvas(width: float, height: float, title: str) -> Axes:
    """Blank, in inches, (0, 0) at its lower left."""
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(width, height), dpi=DPI, facecolor="white").add_axes((0, 0, 1, 1))
    canvas.set(xlim=(0, width), ylim=(0, height), autoscale_on=False)
    canvas.set_axis_off()
    add_text(canvas, 0.15, height - 0.28, title, fontsize=10.5, fontweight="bold")
    return canvas


def add_axes(canvas: Axes, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes for a plot, with small grey ticks and without a frame on the right and at the top."""
    figure = cast("Figure", canvas.figure)
    (whole_width, whole_height) = figure.get_size_inches()
    ax = figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))
    ax.tick_params(which="both", labelsize=7, colors=MUTED_COLOR, length=2)
    ax.spines[["right", "top"]].set_visible(False)
    return ax


def add_text(ax: Axes, left: float, bottom: float, text: str, color: str = TEXT_COLOR, **style: Any) -> None:
    ax.text(left, bottom, text, color=color, va="baseline", **{"fontsize": FONT_SIZE, **style})


def add_note(canvas: Axes, text: str) -> None:
    """A line below everything else."""
    add_text(canvas, 0.15, 0.08, text, color=MUTED_COLOR)


def strikethrough(ax: Axes, left: float, bottom: float, text: str) -> None:
    """Text with a line through it."""
    from matplotlib.textpath import TextPath

    add_text(ax, left, bottom, text, color=MUTED_COLOR)
    width = TextPath((0, 0), text, size=FONT_SIZE).get_extents().width / POINTS_PER_INCH
    ax.plot([left, left + width], [bottom + 0.035, bottom + 0.035], color=GENERATED_COLOR, lw=1)


def add_thumbnail(
    ax: Axes, left: float, bottom: float, pixels: Tensor, frame: str | None = None, label: str = ""
) -> None:
    """One image [C, H, W] of IMAGE_INCHES with its lower left corner at (left, bottom)."""
    add_image(ax, pixels, left, bottom, IMAGE_INCHES, IMAGE_INCHES)
    if frame:
        right, top = left + IMAGE_INCHES, bottom + IMAGE_INCHES
        x, y = [left, right, right, left, left], [bottom, bottom, top, top, bottom]
        ax.plot(x, y, color=frame, lw=1.5, solid_joinstyle="miter")
    if label:
        add_text(ax, left + IMAGE_INCHES / 2, bottom - 0.12, label, color=MUTED_COLOR, fontsize=6.5, ha="center")


def add_image(ax: Axes, pixels: Tensor, left: float, bottom: float, width: float, height: float) -> None:
    """Draw uint8 [C, H, W], grey or RGB."""
    extent = (left, left + width, bottom, bottom + height)
    values = pixels.permute(1, 2, 0).squeeze(-1).numpy()
    ax.imshow(values, extent=extent, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")


def plot_image_rows(
    rows: Sequence[Tensor], title: str, path: Path, *, group: int = 1, labels: Sequence[tuple[str, str]] = ()
) -> Path:
    """Rows of images uint8 [n, C, H, W] in groups of `group` rows.

    `labels`: a name and a remark on the left of each group.
    """
    groups = [rows[i : i + group] for i in range(0, len(rows), group)]
    left, height = 1.15 if labels else 0.15, group * IMAGE_INCHES
    width = max(map(len, rows)) * IMAGE_INCHES
    canvas = new_canvas(left + width + 0.15, len(groups) * (height + 0.06) + 0.5, title)
    for place, images in enumerate(reversed(groups)):
        bottom = 0.15 + place * (height + 0.06)
        grid = make_grid(torch.cat(list(images)), len(images[0]))
        add_image(canvas, grid, left, bottom, len(images[0]) * IMAGE_INCHES, len(images) * IMAGE_INCHES)
        if labels:
            name, remark = labels[len(groups) - 1 - place]
            middle = bottom + height / 2
            add_text(canvas, left - 0.1, middle - 0.04, name, color=GENERATED_COLOR, ha="right")
            add_text(canvas, left - 0.1, middle - 0.2, remark, color=MUTED_COLOR, fontsize=7, ha="right")
    return save_figure(canvas, path)


def save_figure(ax: Axes, path: Path) -> Path:
    with atomic_path(path) as partial:
        cast("Figure", ax.figure).savefig(partial, format="png")
    return path
