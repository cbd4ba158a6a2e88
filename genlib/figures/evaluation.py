"""Pictures to look at beside the numbers: samples, what they may be copies of, which are alike, and the chart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genlib.data.png import tile
from genlib.figures.canvas import CELL, MADE, REAL, SOFT, canvas, image, save, show, struck, text
from genlib.figures.diversity import support_curve
from genlib.figures.latent import write_model_figures
from genlib.formatting import label, number
from genlib.metrics.authenticity import closeness
from genlib.metrics.inputs import Evidence, View
from genlib.metrics.questions import by_question
from genlib.metrics.result import Measure
from genlib.metrics.stats.neighbours import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEADING, LINE, ASIDE = 8.2, 0.32, 0.52, 0.2  # inches of the chart, and of what stands in it


def write_figures(evidence: Evidence, measures: Mapping[str, Measure], folder: Path) -> list[Path]:
    """Every figure this evidence allows, as PNG files in `folder`; the paths written."""
    written = [metric_chart(measures, folder / "metrics.png")]
    if evidence.fake is not None and evidence.n:
        written.append(sample_grid(evidence.fake.pixels, folder / "samples.png"))
        if evidence.train.given:
            written.append(nearest_neighbours(evidence, folder / "nearest_neighbours.png"))
        support = measures.get("support", Measure())
        if "closest_pairs" in support.detail:
            written.append(closest_pairs(evidence, support, folder / "closest_pairs.png"))
        if "curve" in support.detail:
            written.append(support_curve(support, folder / "support_curve.png"))
    return written + write_model_figures(evidence, measures, folder)


def sample_grid(pixels: Tensor, path: Path, *, columns: int = 16, rows: int = 8, title: str = "") -> Path:
    """The first images of uint8 [N, C, H, W], a line between them."""
    pixels = pixels[: columns * rows]
    width, height = columns * 0.45, math.ceil(len(pixels) / columns) * 0.45
    sheet = canvas(width + 0.3, height + 0.6, title or f"{len(pixels)} generated images, as they came")
    show(sheet, tile(pixels, columns), 0.15, 0.15, width, height)
    return save(sheet, path)


def nearest_neighbours(evidence: Evidence, path: Path, *, rows: int = 8, k: int = 6) -> Path:
    """Generated images with their k nearest training images: on the left as they came, on the right the likeliest
    copies. Distances in the judge's features, in units of the spacing of the nearest one (see `Closeness`)."""
    close = closeness(evidence) if len(evidence.train) > 1 else None
    likeliest = torch.arange(evidence.n) if close is None else close.ratio.argsort(stable=True)
    k = min(k, len(evidence.train))
    panels = (("as they came", torch.arange(evidence.n)[:rows]), ("nearest to a training image", likeliest[:rows]))
    width, height = 2 * (1.06 * k + 1.35) * CELL + 0.5, min(rows, evidence.n) * (CELL + 0.22) + 0.95
    sheet = canvas(width, height, "Generated images (red) and the training images nearest to them")
    for side, (name, chosen) in enumerate(panels):
        unit = torch.ones(len(chosen)) if close is None else close.spacing[chosen].clamp(min=1e-12)
        distance, index = nearest(evidence.made.features[chosen], evidence.train.features, k)
        left = 0.15 + side * (width / 2)
        text(sheet, left, height - 0.62, name, color=SOFT)
        for row, i in enumerate(chosen.tolist()):
            bottom = height - 0.75 - (row + 1) * (CELL + 0.22) + 0.22
            image(sheet, left, bottom, evidence.made.pixels[i], MADE)
            for column, j in enumerate(index[row].tolist()):
                label = f"{float(distance[row, column] / unit[row]):.2f}"
                image(sheet, left + (1.06 * column + 1.25) * CELL, bottom, evidence.train.pixels[j], None, label)
    text(sheet, 0.15, 0.06, "distance / spacing of the nearest training image; below 1: not authentic", color=SOFT)
    return save(sheet, path)


def closest_pairs(evidence: Evidence, measure: Measure, path: Path, *, pairs: int = 16) -> Path:
    """The pairs of generated images that are most alike, each with its nearest training image, and below them the most
    alike pairs of as many real images. Distances in units of the class's threshold; at most 1 counts as the same."""
    null = measure.detail.get("null", {})
    blocks = [("generated", evidence.made, measure.detail, MADE)]
    if "closest_pairs" in null:
        blocks.append(("real, as many", evidence.null().made, null, REAL))
    columns = 8
    lines = [math.ceil(min(pairs, len(detail["closest_pairs"])) / columns) for _, _, detail, _ in blocks]
    width, height = columns * (2.2 * CELL) + 0.25, 0.75 + sum(0.35 + line * (2 * CELL + 0.42) for line in lines)
    below = ", and below each the training image nearest to it" if evidence.train.given else ""
    sheet = canvas(width, height, f"The most alike pairs{below}")
    top = height - 0.45
    for (name, view, detail, colour), line in zip(blocks, lines, strict=True):
        text(sheet, 0.15, top - 0.2, f"{name}: {_collisions(detail)}", color=colour)
        _pair_block(sheet, evidence.train, view, detail, colour, top - 0.35, columns, pairs)
        top -= 0.35 + line * (2 * CELL + 0.42)
    text(sheet, 0.15, 0.06, "distance in units of the class's threshold; up to 1.00 counts as the same", color=SOFT)
    return save(sheet, path)


def _collisions(detail: Mapping[str, Any]) -> str:
    people = detail.get("people") or {}
    confirmed = f"; people confirmed {people['confirmed']} of {people['shown']}" if "shown" in people else ""
    return f"{detail['collisions']:,} of {detail['pairs']:,} pairs are the same{confirmed}"


def _pair_block(
    sheet: Axes,
    train: View,
    view: View,
    detail: Mapping[str, Any],
    colour: str,
    top: float,
    columns: int,
    pairs: int,
) -> None:
    shown, units = detail["closest_pairs"][:pairs], detail["closest_distances"][:pairs]
    near = view.features[torch.tensor([a for a, _ in shown], dtype=torch.long)]
    known = bool(shown) and train.given
    star = nearest(near, train.features)[1][:, 0].tolist() if known else [None] * len(shown)
    for place, ((a, b), unit, j) in enumerate(zip(shown, units, star, strict=True)):
        left = 0.15 + (place % columns) * 2.2 * CELL
        bottom = top - (place // columns) * (2 * CELL + 0.42) - CELL
        image(sheet, left, bottom, view.pixels[a], colour)
        image(sheet, left + 1.03 * CELL, bottom, view.pixels[b], colour)
        if j is None:
            text(sheet, left + 1.01 * CELL, bottom - 0.18, f"{unit:.2f}", SOFT, fontsize=6.5, ha="center")
        else:
            image(sheet, left + 0.51 * CELL, bottom - CELL - 0.06, train.pixels[j], None, f"{unit:.2f}")


def metric_chart(measures: Mapping[str, Measure], path: Path) -> Path:
    """One line per metric on its own scale: the value with its interval, and in its band what real images score.

    By question; a metric that failed a control is struck through.
    """
    shown = {name: measure for name, measure in measures.items() if measure.value is not None}
    groups, asides = by_question(shown), _asides(measures)
    height = 0.85 + HEADING * len(groups) + LINE * len(shown) + ASIDE * len(asides)
    sheet = canvas(WIDTH, height, "Metrics with their 95 % intervals")
    _legend(sheet, height)
    bottom = height - 0.6
    for question, names in groups.items():
        bottom -= HEADING
        text(sheet, 0.15, bottom + 0.06, question, color=SOFT, fontstyle="italic")
        for name in names:
            bottom -= LINE
            _metric_line(sheet, height, bottom, name, shown[name])
    for place, aside in enumerate(reversed(asides)):
        text(sheet, 0.15, 0.12 + ASIDE * place, aside, color=SOFT, fontsize=7)
    return save(sheet, path)


def _asides(measures: Mapping[str, Measure]) -> list[str]:
    """Why metrics have no value, or none to be believed; each reason in one line."""
    reasons = {
        name: measure.detail.get("reason", "no value") if measure.value is None else measure.doubt
        for name, measure in measures.items()
    }
    return [shorten(f"{label(name)}: {reason}", 130) for name, reason in reasons.items() if reason]


def _metric_line(sheet: Axes, height: float, bottom: float, name: str, measure: Measure) -> None:
    area = sheet.figure.add_axes((1.85 / WIDTH, (bottom + 0.22) / height, 4.2 / WIDTH, 0.26 / height))
    _interval(area, measure)
    (text if measure.doubt is None else struck)(sheet, 0.15, bottom + 0.3, label(name))
    text(sheet, 6.25, bottom + 0.3, _reading(measure), color=MADE)
    text(sheet, 7.3, bottom + 0.3, "" if measure.null is None else number(measure.null), color=REAL)


def _reading(measure: Measure) -> str:
    return ("over " if measure.detail.get("more_than") else "") + number(measure.value)


def _legend(sheet: Axes, height: float) -> None:
    text(sheet, 6.25, height - 0.55, "this model", color=MADE)
    text(sheet, 7.3, height - 0.55, "real images", color=REAL)


def _interval(area: Axes, measure: Measure) -> None:
    band = measure.detail.get("null", {})
    ends = [measure.value, measure.low, measure.high, measure.null, band.get("low"), band.get("high")]
    points = [float(end) for end in ends if end is not None]
    if min(points) > 0 and max(points) > 30 * min(points):
        area.set_xscale("log")
    if measure.null is not None:
        low, high = _ends(measure.null, band.get("low"), band.get("high"))
        area.axvspan(low, high, color=REAL, alpha=0.25, lw=0)
        area.axvline(measure.null, color=REAL, lw=1.5)
    value = float(measure.value or 0.0)
    low, high = _ends(value, measure.low, measure.high)
    area.plot([low, high], [0, 0], color=MADE, lw=2, solid_capstyle="butt")
    area.plot([value], [0], marker=">" if measure.detail.get("more_than") else "o", color=MADE, ms=6)
    area.margins(x=0.08)
    area.set_yticks([])
    area.spines[["left", "right", "top"]].set_visible(False)
    area.spines["bottom"].set_color("#cccccc")
    area.tick_params(labelsize=7, colors=SOFT, length=2)
    area.minorticks_off()
    if area.get_xscale() == "linear":
        area.locator_params(axis="x", nbins=6)


def _ends(value: float, low: float | None, high: float | None) -> tuple[float, float]:
    return (value if low is None else low), (value if high is None else high)
