"""The figures of an evaluation: samples, their nearest training images, the closest pairs, and a chart of metrics."""

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from textwrap import shorten
from typing import Any, cast

import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from genlib.data.images import make_grid, to_pixels
from genlib.data.pixels import Pixels
from genlib.figures import latent
from genlib.figures.canvas import GENERATED_COLOR, IMAGE_INCHES, MUTED_COLOR, REAL_COLOR, TEXT_COLOR, Canvas, plot_rows
from genlib.figures.contact_sheets import write_contact_sheets
from genlib.formatting import display_name, format_number
from genlib.metrics.authenticity import nearest_training
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import available_inputs, group_by_question, model_capabilities
from genlib.metrics.result import MetricResult
from genlib.metrics.stats.intervals import wilson
from genlib.metrics.stats.neighbours import nearest
from genlib.metrics.translation import TranslationDirection

CHART_WIDTH, HEADING_HEIGHT, ROW_HEIGHT, NOTE_HEIGHT = 8.2, 0.32, 0.52, 0.2  # inches
PAIR_COLUMNS, PAIR_WIDTH, PAIR_HEIGHT = 8, 2.2 * IMAGE_INCHES, 2 * IMAGE_INCHES + 0.42
MAX_PAIRS = 16
TRANSLATION_COLUMNS = 16
MAX_CONFUSION_CLASSES = 20
CURVE_STYLES = {
    "test": ("test images", REAL_COLOR, "-"),
    "train": ("training images", TEXT_COLOR, ":"),
    "fake": ("generated", GENERATED_COLOR, "-"),
}


def write_figures(inputs: Mapping[str, MetricInputs], results: Mapping[str, MetricResult], folder: Path) -> list[Path]:
    """The paths of every figure that these inputs, by direction, and results allow; contact sheets lie in sheets/."""
    first = next(iter(inputs.values()))
    figures = dict(_iter_figures(first, results))
    if len(inputs) > 1:
        figures["translations"] = partial(plot_translations, inputs)
    write_contact_sheets(first, folder / "sheets")
    return [plot(folder / f"{name}.png") for name, plot in figures.items()]


def _iter_figures(
    inputs: MetricInputs, results: Mapping[str, MetricResult]
) -> Iterator[tuple[str, Callable[[Path], Path]]]:
    """The name of each figure and the function that plots it to a path."""
    detail = {name: result.detail for name, result in results.items()}
    yield "metrics", partial(plot_metric_chart, results)
    if inputs.n:
        yield "samples", partial(plot_sample_grid, inputs.generated.pixels)
        if inputs.train.is_available:
            yield "nearest_neighbours", partial(plot_nearest_neighbours, inputs)
    if "closest_pairs" in detail.get("support", {}):
        yield "closest_pairs", partial(plot_closest_pairs, inputs, results["support"])
    if "curve" in detail.get("support", {}):
        yield "support_curve", partial(plot_support_curve, results["support"])
    yield from _iter_model_figures(inputs)
    if "bins" in detail.get("ece", {}):
        yield "reliability", partial(plot_reliability_diagram, results["ece"])
    for name in ("accuracy", "bayes_accuracy"):
        counts = detail.get(name, {}).get("confusion", [])
        if 1 < len(counts) <= MAX_CONFUSION_CLASSES:
            yield "confusion", partial(plot_confusion_matrix, counts)


def _iter_model_figures(inputs: MetricInputs) -> Iterator[tuple[str, Callable[[Path], Path]]]:
    """Those of what the model can do besides sampling."""
    model: Any = inputs.model
    capabilities, second = model_capabilities(model), inputs.second_inputs
    if hasattr(model, "reconstruct"):
        yield "reconstructions", partial(latent.plot_reconstructions, inputs)
    if "samples" in capabilities and "prior" in inspect.signature(model.sample).parameters:
        yield "prior_and_mixture", partial(latent.plot_prior_mixture, inputs)
    if hasattr(model, "decode_image"):
        yield "interpolation", partial(latent.plot_interpolation, inputs)
    if "labelled_samples" in available_inputs(inputs):
        yield "classes", partial(latent.plot_class_samples, inputs)
    if "conditional" in capabilities:
        yield "posterior", partial(latent.plot_posterior, inputs)
    if second is not None and inputs.generated.labels is None and inputs.test.labels is not None:
        yield "resampled", partial(latent.plot_resampled_classes, inputs, second.generated.probabilities)


def plot_sample_grid(pixels: Pixels, path: Path, *, columns: int = 16, rows: int = 8) -> Path:
    """The first images of uint8 [N, C, H, W], a line between them."""
    pixels = pixels[: columns * rows]
    width, height = columns * 0.45, math.ceil(len(pixels) / columns) * 0.45
    canvas = Canvas(width + 0.3, height + 0.6, f"The first {len(pixels)} generated images")
    canvas.add_image(make_grid(pixels, columns), 0.15, 0.15, width, height)
    return canvas.save(path)


def plot_translations(inputs: Mapping[str, MetricInputs], path: Path) -> Path:
    """Three rows for each direction: sources, their translations, and the translations of those back."""
    rows = []
    for each in inputs.values():
        whole = cast(TranslationDirection, each.model)
        direction = TranslationDirection(whole.translator, whole.to, whole.source[:TRANSLATION_COLUMNS])
        images = [direction.source.pixels, to_pixels(direction.translate()), to_pixels(direction.translate_back())]
        rows += [pixels.cpu() for pixels in images]
    return plot_rows(rows, "Test images of A, translated to B and back; below, of B to A and back", path, group=3)


def plot_nearest_neighbours(inputs: MetricInputs, path: Path, *, rows: int = 8, k: int = 6) -> Path:
    """Generated images with their k nearest training images: on the left the first, on the right the likeliest copies.
    Distances in features, in units of the spacing of the nearest training image (see `NearestTraining`)."""
    close = nearest_training(inputs.generated.features, inputs.train.features) if len(inputs.train) > 1 else None
    likeliest = torch.arange(inputs.n) if close is None else close.ratio.argsort(stable=True)
    k, row_height = min(k, len(inputs.train)), IMAGE_INCHES + 0.22
    panels = (("the first", torch.arange(inputs.n)[:rows]), ("nearest to a training image", likeliest[:rows]))
    width, height = 2 * (1.06 * k + 1.35) * IMAGE_INCHES + 0.5, min(rows, inputs.n) * row_height + 0.95
    canvas = Canvas(width, height, "Generated images (red) and the training images nearest to them")
    for side, (name, chosen) in enumerate(panels):
        unit = torch.ones(len(chosen)) if close is None else close.spacing[chosen].clamp(min=1e-12)
        distance, index = nearest(inputs.generated.features[chosen], inputs.train.features, k)
        labels = (distance / unit[:, None]).tolist()
        left = 0.15 + side * (width / 2)
        canvas.add_text(left, height - 0.62, name, MUTED_COLOR)
        for row, i in enumerate(chosen.tolist()):
            bottom = height - 0.53 - (row + 1) * row_height
            canvas.add_thumbnail(left, bottom, inputs.generated.pixels[i], GENERATED_COLOR)
            for column, (j, label) in enumerate(zip(index[row].tolist(), labels[row], strict=True)):
                x = left + (1.06 * column + 1.25) * IMAGE_INCHES
                canvas.add_thumbnail(x, bottom, inputs.train.pixels[j], label=f"{label:.2f}")
    canvas.add_note("distance / spacing of the nearest training image; below 1: not authentic")
    return canvas.save(path)


def plot_closest_pairs(inputs: MetricInputs, result: MetricResult, path: Path) -> Path:
    """The closest pairs of generated images, each with its nearest training image, and below them the closest pairs of
    as many real images. Distances in units of the class's threshold; at most 1 counts as the same."""
    null = result.detail.get("null", {})
    blocks = [("generated", inputs.generated, result.detail, GENERATED_COLOR)]
    if "closest_pairs" in null:
        blocks.append(("real, as many", inputs.with_real_samples().generated, null, REAL_COLOR))
    rows = [math.ceil(min(MAX_PAIRS, len(detail["closest_pairs"])) / PAIR_COLUMNS) for _, _, detail, _ in blocks]
    heights = [0.35 + num_rows * PAIR_HEIGHT for num_rows in rows]
    below = ", and below each the training image nearest to it" if inputs.train.is_available else ""
    canvas = Canvas(PAIR_COLUMNS * PAIR_WIDTH + 0.25, 0.75 + sum(heights), f"The closest pairs{below}")
    top = sum(heights) + 0.3
    for (name, feature_set, detail, color), height in zip(blocks, heights, strict=True):
        canvas.add_text(0.15, top - 0.2, f"{name}: {_collision_text(detail)}", color)
        _plot_pair_block(canvas, inputs.train, feature_set, detail, color, top - 0.35)
        top -= height
    canvas.add_note("distance in units of the class's threshold; up to 1.00 counts as the same")
    return canvas.save(path)


def _collision_text(detail: Mapping[str, Any]) -> str:
    people = detail.get("people") or {}
    confirmed = f"; people confirmed {people['confirmed']} of {people['shown']}" if "shown" in people else ""
    return f"{detail['collisions']:,} of {detail['pairs']:,} pairs are the same{confirmed}"


def _plot_pair_block(
    canvas: Canvas, train: FeatureSet, feature_set: FeatureSet, detail: Mapping[str, Any], color: str, top: float
) -> None:
    pairs, distances = detail["closest_pairs"][:MAX_PAIRS], detail["closest_distances"][:MAX_PAIRS]
    features = feature_set.features[torch.tensor([a for a, _ in pairs], dtype=torch.long)]
    has_train = bool(pairs) and train.is_available
    index = nearest(features, train.features)[1][:, 0].tolist() if has_train else [None] * len(pairs)
    for place, ((a, b), distance, j) in enumerate(zip(pairs, distances, index, strict=True)):
        left = 0.15 + (place % PAIR_COLUMNS) * PAIR_WIDTH
        bottom = top - (place // PAIR_COLUMNS) * PAIR_HEIGHT - IMAGE_INCHES
        canvas.add_thumbnail(left, bottom, feature_set.pixels[a], color)
        canvas.add_thumbnail(left + 1.03 * IMAGE_INCHES, bottom, feature_set.pixels[b], color)
        middle, label = left + 0.51 * IMAGE_INCHES, f"{distance:.2f}"
        if j is None:
            canvas.add_label(middle + IMAGE_INCHES / 2, bottom - 0.18, label)
        else:
            canvas.add_thumbnail(middle, bottom - IMAGE_INCHES - 0.06, train.pixels[j], label=label)


def plot_support_curve(result: MetricResult, path: Path) -> Path:
    """C(r), the share of pairs closer than r. Where the generated curve lies above the real ones at small r, too many
    images are nearly the same; where it is level, they are the same."""
    curve = result.detail["curve"]
    canvas = Canvas(5.6, 4.5, "How many pairs of images are closer than r")
    xlabel = "r, in units of the root mean square distance of two test images"
    ax = canvas.add_axes(0.75, 0.75, 4.6, 3.15, xlabel, "share of pairs")
    ax.set(xscale="log", yscale="log")
    for name, (label, color, style) in CURVE_STYLES.items():
        points = [(r, share) for r, share in zip(curve["radius"], curve.get(name, []), strict=False) if share > 0]
        if name in curve:
            ax.plot([r for r, _ in points], [share for _, share in points], style, color=color, lw=1.5, label=label)
    ax.axhline(result.detail["rate"], color=MUTED_COLOR, lw=0.7, ls="--")
    ax.legend(frameon=False, fontsize=8, loc="lower right")
    canvas.add_note("dashed: the share of real pairs that the metric `support` counts as the same")
    return canvas.save(path)


def plot_reliability_diagram(result: MetricResult, path: Path) -> Path:
    """Accuracy against confidence, bin by bin, each with its 95 % interval; its size is its share of the images."""
    side = 3.6
    canvas = Canvas(side + 1.0, side + 1.3, "Accuracy by confidence")
    ax = canvas.add_axes(0.75, 0.7, side, side, "mean confidence", "accuracy")
    ax.plot([0, 1], [0, 1], color=MUTED_COLOR, lw=1, ls=":")
    for each in result.detail["bins"]:
        x, y, n = each["confidence"], each["accuracy"], each["n"]
        ax.plot([x, x], wilson(round(y * n), n), color=GENERATED_COLOR, lw=1.5, alpha=0.5, solid_capstyle="butt")
        ax.scatter([x], [y], 12 + 150 * n / result.n, color=GENERATED_COLOR, zorder=3)
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    canvas.add_note(f"size: share of {result.n:,} images; dotted: calibrated")
    return canvas.save(path)


def plot_confusion_matrix(counts: Sequence[Sequence[int]], path: Path) -> Path:
    """How many test images of each class (a row) are given each class (a column); shaded by the share of the row."""
    n, side = len(counts), 0.42 * len(counts)
    canvas = Canvas(max(side + 1.2, 3.6), side + 1.3, "Test images by class, and the class they are given")
    ax = canvas.add_axes(0.7, 0.45, side, side)
    shades = torch.empty(n, n, 4, dtype=torch.float64)  # RGBA
    for row, column in product(range(n), repeat=2):
        count, color = counts[row][column], REAL_COLOR if row == column else GENERATED_COLOR
        shades[row, column] = torch.tensor(to_rgba(color, 0.75 * count / max(1, sum(counts[row]))))
        ax.text(column, row, f"{count:,}" if count else "", fontsize=7.5, color=TEXT_COLOR, ha="center", va="center")
    ax.imshow(shades, aspect="auto")
    ax.set(xticks=range(n), yticks=range(n))
    ax.xaxis.tick_top()
    canvas.add_note("rows: the label; columns: the class given; shade: share of the row")
    return canvas.save(path)


def plot_metric_chart(results: Mapping[str, MetricResult], path: Path) -> Path:
    """One line per metric on its own scale, by question: the value with its interval, and as a band the baseline of
    real images; a metric that failed a control is struck through."""
    shown = {name: result for name, result in results.items() if result.value is not None}
    groups, notes = group_by_question(shown), _problem_notes(results)
    height = 0.85 + HEADING_HEIGHT * len(groups) + ROW_HEIGHT * len(shown) + NOTE_HEIGHT * len(notes)
    canvas = Canvas(CHART_WIDTH, height, "Metrics with their 95 % intervals")
    canvas.add_text(6.25, height - 0.55, "this model", GENERATED_COLOR)
    canvas.add_text(7.3, height - 0.55, "real images", REAL_COLOR)
    bottom = height - 0.6
    for question, names in groups.items():
        bottom -= HEADING_HEIGHT
        canvas.add_text(0.15, bottom + 0.06, question, MUTED_COLOR, fontstyle="italic")
        for name in names:
            bottom -= ROW_HEIGHT
            _plot_metric_row(canvas, bottom, name, shown[name])
    for place, note in enumerate(reversed(notes)):
        canvas.add_text(0.15, 0.12 + NOTE_HEIGHT * place, note, MUTED_COLOR, fontsize=7)
    return canvas.save(path)


def _problem_notes(results: Mapping[str, MetricResult]) -> list[str]:
    reasons = {
        name: result.detail.get("reason", "no value") if result.value is None else result.failed_control
        for name, result in results.items()
    }
    return [shorten(f"{display_name(name)}: {reason}", 130) for name, reason in reasons.items() if reason]


def _plot_metric_row(canvas: Canvas, bottom: float, name: str, result: MetricResult) -> None:
    _plot_interval(canvas.add_axes(1.85, bottom + 0.22, 4.2, 0.26), result)
    write = canvas.add_text if result.failed_control is None else canvas.add_struck_text
    write(0.15, bottom + 0.3, display_name(name))
    over = "over " if result.detail.get("more_than") else ""
    canvas.add_text(6.25, bottom + 0.3, over + format_number(result.value), GENERATED_COLOR)
    canvas.add_text(7.3, bottom + 0.3, "" if result.null is None else format_number(result.null), REAL_COLOR)


def _plot_interval(ax: Axes, result: MetricResult) -> None:
    band = result.detail.get("null", {})
    value, null, (low, high) = float(result.value or 0.0), result.null, result.bounds
    null_ends = [] if null is None else [null if band.get(end) is None else band[end] for end in ("low", "high")]
    points = [value, low, high, *null_ends, *([] if null is None else [null])]
    if min(points) > 0 and max(points) > 30 * min(points):
        ax.set_xscale("log")
    if null is not None:
        ax.axvspan(*null_ends, color=REAL_COLOR, alpha=0.25, lw=0)
        ax.axvline(null, color=REAL_COLOR, lw=1.5)
    ax.plot([low, high], [0, 0], color=GENERATED_COLOR, lw=2, solid_capstyle="butt")
    ax.plot([value], [0], marker=">" if result.detail.get("more_than") else "o", color=GENERATED_COLOR, ms=6)
    ax.margins(x=0.08)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.spines["bottom"].set_color("#cccccc")
    ax.minorticks_off()
    if ax.get_xscale() == "linear":
        ax.locator_params(axis="x", nbins=6)
