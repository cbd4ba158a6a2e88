"""A canvas in inches with text, images and axes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from torch import Tensor

from genlib.data.images import make_grid
from genlib.files import atomic_path

TEXT_COLOR, MUTED_COLOR, GENERATED_COLOR, REAL_COLOR = "#222222", "#8a8a8a", "#c8442f", "#5b8db8"
IMAGE_INCHES = 0.62
FONT_SIZE, POINTS_PER_INCH = 8.5, 72
DPI = 150


class Canvas:
    """A blank figure with a title; (0, 0) is at its lower left."""

    def __init__(self, width: float, height: float, title: str) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
        self.ax = self.figure.add_axes((0, 0, 1, 1))
        self.ax.set(xlim=(0, width), ylim=(0, height), autoscale_on=False)
        self.ax.set_axis_off()
        self.add_text(0.15, height - 0.28, title, fontsize=10.5, fontweight="bold")

    def add_axes(
        self, left: float, bottom: float, width: float, height: float, xlabel: str = "", ylabel: str = ""
    ) -> Axes:
        """Axes for a plot, with small grey ticks and without a frame on the right and at the top."""
        place = (left / self.width, bottom / self.height, width / self.width, height / self.height)
        ax = self.figure.add_axes(place)
        ax.tick_params(which="both", labelsize=7, colors=MUTED_COLOR, length=2)
        ax.spines[["right", "top"]].set_visible(False)
        ax.set_xlabel(xlabel, fontsize=8, color=MUTED_COLOR)
        ax.set_ylabel(ylabel, fontsize=8, color=MUTED_COLOR)
        return ax

    def add_text(self, left: float, bottom: float, text: str, color: str = TEXT_COLOR, **style: Any) -> None:
        self.ax.text(left, bottom, text, color=color, va="baseline", **{"fontsize": FONT_SIZE, **style})

    def add_label(self, middle: float, bottom: float, text: str) -> None:
        """Small centred text."""
        self.add_text(middle, bottom, text, MUTED_COLOR, fontsize=6.5, ha="center")

    def add_note(self, text: str) -> None:
        """A line below everything else."""
        self.add_text(0.15, 0.08, text, MUTED_COLOR)

    def add_struck_text(self, left: float, bottom: float, text: str) -> None:
        self.add_text(left, bottom, text, MUTED_COLOR)
        width = TextPath((0, 0), text, size=FONT_SIZE).get_extents().width / POINTS_PER_INCH
        self.ax.plot([left, left + width], [bottom + 0.035, bottom + 0.035], color=GENERATED_COLOR, lw=1)

    def add_thumbnail(
        self, left: float, bottom: float, pixels: Tensor, frame: str | None = None, label: str = ""
    ) -> None:
        """One image [C, H, W] of IMAGE_INCHES with its lower left corner at (left, bottom)."""
        self.add_image(pixels, left, bottom, IMAGE_INCHES, IMAGE_INCHES)
        if frame:
            right, top = left + IMAGE_INCHES, bottom + IMAGE_INCHES
            x, y = [left, right, right, left, left], [bottom, bottom, top, top, bottom]
            self.ax.plot(x, y, color=frame, lw=1.5, solid_joinstyle="miter")
        if label:
            self.add_label(left + IMAGE_INCHES / 2, bottom - 0.12, label)

    def add_image(self, pixels: Tensor, left: float, bottom: float, width: float, height: float) -> None:
        """Draw uint8 [C, H, W], grey or RGB."""
        extent = (left, left + width, bottom, bottom + height)
        values = pixels.permute(1, 2, 0).squeeze(-1).numpy()
        self.ax.imshow(values, extent=extent, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect="auto")

    def save(self, path: Path) -> Path:
        with atomic_path(path) as partial:
            self.figure.savefig(partial, format="png")
        return path


def plot_rows(
    rows: Sequence[Tensor], title: str, path: Path, *, group: int = 1, labels: Sequence[tuple[str, str]] = ()
) -> Path:
    """Rows of images uint8 [n, C, H, W] in groups of `group` rows; `labels`: a name and a remark on the left of each
    group."""
    groups = [rows[i : i + group] for i in range(0, len(rows), group)]
    left, height = 1.15 if labels else 0.15, group * IMAGE_INCHES
    width = max(map(len, rows)) * IMAGE_INCHES
    canvas = Canvas(left + width + 0.15, len(groups) * (height + 0.06) + 0.5, title)
    for place, images in enumerate(reversed(groups)):
        bottom = 0.15 + place * (height + 0.06)
        grid = make_grid(torch.cat(list(images)), len(images[0]))
        canvas.add_image(grid, left, bottom, len(images[0]) * IMAGE_INCHES, len(images) * IMAGE_INCHES)
        if labels:
            name, remark = labels[len(groups) - 1 - place]
            middle = bottom + height / 2
            canvas.add_text(left - 0.1, middle - 0.04, name, GENERATED_COLOR, ha="right")
            canvas.add_text(left - 0.1, middle - 0.2, remark, MUTED_COLOR, fontsize=7, ha="right")
    return canvas.save(path)
