"""Pictures to look at beside the numbers: samples, what they may be copies of, which are alike, and the chart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genlib.data.png import make_grid
from genlib.figures.canvas import (
    GENERATED_COLOR,
    IMAGE_INCHES,
    MUTED_COLOR,
    REAL_COLOR,
    add_image,
    add_text,
    add_thumbnail,
    new_canvas,
    save_figure,
    strikethrough,
)
from genlib.figures.diversity import plot_support_curve
from genlib.figures.latent import write_model_figures
from genlib.formatting import display_name, format_number
from genlib.metrics.authenticity import nearest_training
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import group_by_question
from genlib.metrics.result import MetricResult
from genlib.metrics.stats.neighbours import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHART_WIDTH, HEADING_HEIGHT, ROW_HEIGHT, NOTE_HEIGHT = (
    8.2,
    0.32,
    0.52,
    0.2,
)  # inches of the chart, and of what stands in it


def write_figures(inputs: MetricInputs, results: Mapping[str, MetricResult], folder: Path) -> list[Path]:
    """Every figure this evidence allows, as PNG files in `folder`; the paths written."""
    written = [plot_metric_chart(results, folder / "metrics.png")]
    if inputs.samples is not None and inputs.n:
        written.append(plot_sample_grid(inputs.samples.pixels, folder / "samples.png"))
        if inputs.train.is_available:
            written.append(plot_nearest_neighbours(inputs, folder / "nearest_neighbours.png"))
        support = results.get("support", MetricResult())
        if "closest_pairs" in support.detail:
            written.append(plot_closest_pairs(inputs, support, folder / "closest_pairs.png"))
        if "curve" in support.detail:
            written.append(plot_support_curve(support, folder / "support_curve.png"))
    return written + write_model_figures(inputs, results, folder)


def plot_sample_grid(pixels: Tensor, path: Path, *, columns: int = 16, rows: int = 8, title: str = "") -> Path:
    """The first images of uint8 [N, C, H, W], a line between them."""
    pixels = pixels[: columns * rows]
    width, height = columns * 0.45, math.ceil(len(pixels) / columns) * 0.45
    sheet = new_canvas(width + 0.3, height + 0.6, title or f"{len(pixels)} generated images, as they came")
    add_image(sheet, make_grid(pixels, columns), 0.15, 0.15, width, height)
    return save_figure(sheet, path)


def plot_nearest_neighbours(inputs: MetricInputs, path: Path, *, rows: int = 8, k: int = 6) -> Path:
    """Generated images with their k nearest training images: on the left as they came, on the right the likeliest
    copies. Distances in the judge's features, in units of the spacing of the nearest one (see `Closeness`)."""
    close = nearest_training(inputs) if len(inputs.train) > 1 else None
    likeliest = torch.arange(inputs.n) if close is None else close.ratio.argsort(stable=True)
    k = min(k, len(inputs.train))
    panels = (("as they came", torch.arange(inputs.n)[:rows]), ("nearest to a training image", likeliest[:rows]))
    width, height = 2 * (1.06 * k + 1.35) * IMAGE_INCHES + 0.5, min(rows, inputs.n) * (IMAGE_INCHES + 0.22) + 0.95
    sheet = new_canvas(width, height, "Generated images (red) and the training images nearest to them")
    for side, (name, chosen) in enumerate(panels):
        unit = torch.ones(len(chosen)) if close is None else close.spacing[chosen].clamp(min=1e-12)
        distance, index = nearest(inputs.generated.features[chosen], inputs.train.features, k)
        left = 0.15 + side * (width / 2)
        add_text(sheet, left, height - 0.62, name, color=MUTED_COLOR)
        for row, i in enumerate(chosen.tolist()):
            bottom = height - 0.75 - (row + 1) * (IMAGE_INCHES + 0.22) + 0.22
            add_thumbnail(sheet, left, bottom, inputs.generated.pixels[i], GENERATED_COLOR)
            for column, j in enumerate(index[row].tolist()):
                label = f"{float(distance[row, column] / unit[row]):.2f}"
                add_thumbnail(
                    sheet, left + (1.06 * column + 1.25) * IMAGE_INCHES, bottom, inputs.train.pixels[j], None, label
                )
    add_text(
        sheet, 0.15, 0.06, "distance / spacing of the nearest training image; below 1: not authentic", color=MUTED_COLOR
    )
    return save_figure(sheet, path)


def plot_closest_pairs(inputs: MetricInputs, result: MetricResult, path: Path, *, num_pairs: int = 16) -> Path:
    """The pairs of generated images that are most alike, each with its nearest training image, and below them the most
    alike pairs of as many real images. Distances in units of the class's threshold; at most 1 counts as the same."""
    null = result.detail.get("null", {})
    blocks = [("generated", inputs.generated, result.detail, GENERATED_COLOR)]
    if "closest_pairs" in null:
        blocks.append(("real, as many", inputs.with_real_samples().generated, null, REAL_COLOR))
    columns = 8
    lines = [math.ceil(min(num_pairs, len(detail["closest_pairs"])) / columns) for _, _, detail, _ in blocks]
    width, height = (
        columns * (2.2 * IMAGE_INCHES) + 0.25,
        0.75 + sum(0.35 + line * (2 * IMAGE_INCHES + 0.42) for line in lines),
    )
    below = ", and below each the training image nearest to it" if inputs.train.is_available else ""
    sheet = new_canvas(width, height, f"The most alike pairs{below}")
    top = height - 0.45
    for (name, view, detail, colour), line in zip(blocks, lines, strict=True):
        add_text(sheet, 0.15, top - 0.2, f"{name}: {_collision_text(detail)}", color=colour)
        _plot_pair_block(sheet, inputs.train, view, detail, colour, top - 0.35, columns, num_pairs)
        top -= 0.35 + line * (2 * IMAGE_INCHES + 0.42)
    add_text(
        sheet,
        0.15,
        0.06,
        "distance in units of the class's threshold; up to 1.00 counts as the same",
        color=MUTED_COLOR,
    )
    return save_figure(sheet, path)


def _collision_text(detail: Mapping[str, Any]) -> str:
    people = detail.get("people") or {}
    confirmed = f"; people confirmed {people['confirmed']} of {people['shown']}" if "shown" in people else ""
    return f"{detail['collisions']:,} of {detail['pairs']:,} pairs are the same{confirmed}"


def _plot_pair_block(
    ax: Axes,
    train: FeatureSet,
    feature_set: FeatureSet,
    detail: Mapping[str, Any],
    colour: str,
    top: float,
    columns: int,
    num_pairs: int,
) -> None:
    shown, units = detail["closest_pairs"][:num_pairs], detail["closest_distances"][:num_pairs]
    near = feature_set.features[torch.tensor([a for a, _ in shown], dtype=torch.long)]
    known = bool(shown) and train.is_available
    star = nearest(near, train.features)[1][:, 0].tolist() if known else [None] * len(shown)
    for place, ((a, b), unit, j) in enumerate(zip(shown, units, star, strict=True)):
        left = 0.15 + (place % columns) * 2.2 * IMAGE_INCHES
        bottom = top - (place // columns) * (2 * IMAGE_INCHES + 0.42) - IMAGE_INCHES
        add_thumbnail(ax, left, bottom, feature_set.pixels[a], colour)
        add_thumbnail(ax, left + 1.03 * IMAGE_INCHES, bottom, feature_set.pixels[b], colour)
        if j is None:
            add_text(
                ax, left + 1.01 * IMAGE_INCHES, bottom - 0.18, f"{unit:.2f}", MUTED_COLOR, fontsize=6.5, ha="center"
            )
        else:
            add_thumbnail(
                ax, left + 0.51 * IMAGE_INCHES, bottom - IMAGE_INCHES - 0.06, train.pixels[j], None, f"{unit:.2f}"
            )


def plot_metric_chart(results: Mapping[str, MetricResult], path: Path) -> Path:
    """One line per metric on its own scale: the value with its interval, and in its band what real images score.

    By question; a metric that failed a control is struck through.
    """
    shown = {name: measure for name, measure in results.items() if measure.value is not None}
    groups, asides = group_by_question(shown), _problem_notes(results)
    height = 0.85 + HEADING_HEIGHT * len(groups) + ROW_HEIGHT * len(shown) + NOTE_HEIGHT * len(asides)
    sheet = new_canvas(CHART_WIDTH, height, "Metrics with their 95 % intervals")
    _plot_legend(sheet, height)
    bottom = height - 0.6
    for question, names in groups.items():
        bottom -= HEADING_HEIGHT
        add_text(sheet, 0.15, bottom + 0.06, question, color=MUTED_COLOR, fontstyle="italic")
        for name in names:
            bottom -= ROW_HEIGHT
            _plot_metric_row(sheet, height, bottom, name, shown[name])
    for place, aside in enumerate(reversed(asides)):
        add_text(sheet, 0.15, 0.12 + NOTE_HEIGHT * place, aside, color=MUTED_COLOR, fontsize=7)
    return save_figure(sheet, path)


def _problem_notes(results: Mapping[str, MetricResult]) -> list[str]:
    """Why metrics have no value, or none to be believed; each reason in one line."""
    reasons = {
        name: measure.detail.get("reason", "no value") if measure.value is None else measure.failed_control
        for name, measure in results.items()
    }
    return [shorten(f"{display_name(name)}: {reason}", 130) for name, reason in reasons.items() if reason]


def _plot_metric_row(ax: Axes, height: float, bottom: float, name: str, result: MetricResult) -> None:
    area = ax.figure.add_axes((1.85 / CHART_WIDTH, (bottom + 0.22) / height, 4.2 / CHART_WIDTH, 0.26 / height))
    _plot_interval(area, result)
    (add_text if result.failed_control is None else strikethrough)(ax, 0.15, bottom + 0.3, display_name(name))
    add_text(ax, 6.25, bottom + 0.3, _format_value(result), color=GENERATED_COLOR)
    add_text(ax, 7.3, bottom + 0.3, "" if result.null is None else format_number(result.null), color=REAL_COLOR)


def _format_value(result: MetricResult) -> str:
    return ("over " if result.detail.get("more_than") else "") + format_number(result.value)


def _plot_legend(ax: Axes, height: float) -> None:
    add_text(ax, 6.25, height - 0.55, "this model", color=GENERATED_COLOR)
    add_text(ax, 7.3, height - 0.55, "real images", color=REAL_COLOR)


def _plot_interval(ax: Axes, result: MetricResult) -> None:
    band = result.detail.get("null", {})
    ends = [result.value, result.low, result.high, result.null, band.get("low"), band.get("high")]
    points = [float(end) for end in ends if end is not None]
    if min(points) > 0 and max(points) > 30 * min(points):
        ax.set_xscale("log")
    if result.null is not None:
        low, high = _bounds(result.null, band.get("low"), band.get("high"))
        ax.axvspan(low, high, color=REAL_COLOR, alpha=0.25, lw=0)
        ax.axvline(result.null, color=REAL_COLOR, lw=1.5)
    value = float(result.value or 0.0)
    low, high = _bounds(value, result.low, result.high)
    ax.plot([low, high], [0, 0], color=GENERATED_COLOR, lw=2, solid_capstyle="butt")
    ax.plot([value], [0], marker=">" if result.detail.get("more_than") else "o", color=GENERATED_COLOR, ms=6)
    ax.margins(x=0.08)
    ax.set_yticks([])
    ax.spines[["left", "right", "top"]].set_visible(False)
    ax.spines["bottom"].set_color("#cccccc")
    ax.tick_params(labelsize=7, colors=MUTED_COLOR, length=2)
    ax.minorticks_off()
    if ax.get_xscale() == "linear":
        ax.locator_params(axis="x", nbins=6)


def _bounds(value: float, low: float | None, high: float | None) -> tuple[float, float]:
    return (value if low is None else low), (value if high is None else high)
