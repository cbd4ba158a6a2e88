"""Pictures of what else a model can do than sample: encode, follow a path of codes, take a class, tell one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlib import latent
from genlib.data.batches import seeded_generator
from genlib.data.images import to_float, to_pixels
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
)
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.likelihood import log_posteriors
from genlib.metrics.registry import available_inputs, model_capabilities
from genlib.metrics.result import MetricResult
from genlib.metrics.stats.bayes import importance_resample, kl_divergence
from genlib.metrics.stats.intervals import wilson

MAX_CLASSES = 10  # rows of a figure with a row per class, at the most
COLUMNS = 12
MAX_CONFUSION_CLASSES = 20  # classes of a confusion matrix that can be read


def write_model_figures(inputs: MetricInputs, results: Mapping[str, MetricResult], folder: Path) -> list[Path]:
    """Every figure that this model's abilities allow; the paths written."""
    return list(_iter_figures(inputs, results, folder))


def _iter_figures(inputs: MetricInputs, results: Mapping[str, MetricResult], folder: Path) -> Iterator[Path]:
    model: Any = inputs.model
    can = model_capabilities(model)
    if hasattr(model, "reconstruct"):
        yield plot_reconstructions(inputs, folder / "reconstructions.png")
    if "samples" in can and "prior" in inspect.signature(model.sample).parameters:
        yield plot_prior_mixture(inputs, folder / "prior_and_mixture.png")
    if hasattr(model, "decode_image"):
        yield plot_interpolation(inputs, folder / "interpolation.png")
    if "labelled_samples" in available_inputs(inputs):
        yield plot_class_samples(inputs, folder / "classes.png")
    if "conditional" in can:
        yield plot_posterior(inputs, folder / "posterior.png")
    if "bins" in results.get("ece", MetricResult()).detail:
        yield plot_reliability_diagram(results["ece"], folder / "reliability.png")
    for name in ("accuracy", "bayes_accuracy"):
        counts = results.get(name, MetricResult()).detail.get("confusion", [])
        if 1 < len(counts) <= MAX_CONFUSION_CLASSES:
            yield plot_confusion_matrix(counts, folder / "confusion.png")


def plot_reconstructions(inputs: MetricInputs, path: Path, *, bands: int = 2) -> Path:
    """Bands of test images, each above what the model gives back of it."""
    model: Any = inputs.model
    shown = inputs.test[: bands * COLUMNS]
    again = latent.reconstruct(
        model, select_test_images(inputs, slice(0, len(shown))), select_test_labels(inputs, slice(0, len(shown)))
    )
    both = zip(*(torch.split(pixels, COLUMNS) for pixels in (shown.pixels, to_pixels(again).cpu())), strict=True)
    width, height = COLUMNS * IMAGE_INCHES, 2 * IMAGE_INCHES
    sheet = new_canvas(
        width + 0.3, bands * (height + 0.15) + 0.5, "Test images, and below each what its code gives back"
    )
    for band, (real, given) in enumerate(both):
        bottom = (bands - 1 - band) * (height + 0.15) + 0.15
        add_image(sheet, make_grid(torch.cat([real, given]), len(real)), 0.15, bottom, len(real) * IMAGE_INCHES, height)
    return save_figure(sheet, path)


def plot_prior_mixture(inputs: MetricInputs, path: Path, *, side: int = 8) -> Path:
    """Samples of codes from the standard normal, beside samples of codes from the mixture fitted to real ones."""
    model: Any = inputs.model
    size = side * 0.45
    sheet = new_canvas(2 * size + 0.6, size + 0.85, "Where the codes of samples come from")
    for place, (prior, name) in enumerate((("normal", "the standard normal"), ("mixture", "the fitted mixture"))):
        left = 0.15 + place * (size + 0.3)
        drawn = to_pixels(model.sample(side * side, seed=inputs.seed, prior=prior)).cpu()
        add_image(sheet, make_grid(drawn, side), left, 0.15, size, size)
        add_text(sheet, left, size + 0.25, name, color=MUTED_COLOR)
    return save_figure(sheet, path)


def plot_interpolation(inputs: MetricInputs, path: Path, *, rows: int = 6, steps: int = 9) -> Path:
    """Images along the way from one code to another: straight between the codes of two test images, which stand at its
    ends; along the sphere between two draws of the prior for a model without codes."""
    encodes = "encodes" in model_capabilities(inputs.model)
    ends = select_endpoints(inputs, rows)
    rows, margin = len(ends), 1.2 * IMAGE_INCHES if encodes else 0.0
    way = to_pixels(decode_interpolations(inputs, ends, steps)).cpu()
    title = "From the code of a test image (blue) to that of another" if encodes else "From one draw to another"
    sheet = new_canvas(steps * IMAGE_INCHES + 2 * margin + 0.3, rows * 1.1 * IMAGE_INCHES + 0.5, title)
    for row, images in enumerate(torch.split(way, steps)):
        bottom = 0.15 + (rows - 1 - row) * 1.1 * IMAGE_INCHES
        add_image(sheet, make_grid(images, steps), 0.15 + margin, bottom, steps * IMAGE_INCHES, IMAGE_INCHES)
        for side, i in enumerate(ends[row].tolist() if encodes else []):
            left = 0.15 + side * (margin + steps * IMAGE_INCHES + 0.2 * IMAGE_INCHES)
            add_thumbnail(sheet, left, bottom, inputs.test.pixels[i], REAL_COLOR)
    return save_figure(sheet, path)


def decode_interpolations(inputs: MetricInputs, ends: Tensor, steps: int) -> Tensor:
    """Images [rows * steps, C, H, W] between the codes of test images `ends` [rows, 2], or between draws."""
    model: Any = inputs.model
    y = select_test_labels(inputs, ends[:, 0])
    if "encodes" in model_capabilities(model):
        a, b = (
            latent.encode_mean(model, select_test_images(inputs, one), select_test_labels(inputs, one))
            for one in ends.T
        )
        codes = latent.interpolate(a, b, steps, "linear")
    else:
        draws = torch.randn(2, len(ends), model.latent, generator=seeded_generator(inputs.seed, "interpolation"))
        a, b = draws.to(next(model.parameters()).device)
        codes = latent.interpolate(a, b, steps, "spherical")
    return latent.decode_image(model, codes.flatten(0, 1), None if y is None else y.repeat_interleave(steps))


def select_endpoints(inputs: MetricInputs, rows: int) -> Tensor:
    """Rows of the test images to go between, int64 [rows, 2]: as they come, or of one class where the model is told
    the class."""
    labels = inputs.test.labels
    if not _is_conditional(inputs) or labels is None:
        return torch.arange(len(inputs.test) // 2 * 2)[: 2 * rows].view(-1, 2)
    members = [(labels == label).nonzero().squeeze(1) for label in sorted(set(labels.tolist()))]
    return torch.stack([of[:2] for of in members if len(of) > 1][:rows])


def plot_class_samples(inputs: MetricInputs, path: Path) -> Path:
    """Generated images of each class that the model was asked for, as they came."""
    asked = inputs.generated.labels
    assert asked is not None
    labels = sorted(set(asked.tolist()))[:MAX_CLASSES]
    rows = [(asked == label).nonzero().squeeze(1)[:COLUMNS] for label in labels]
    names = [(str(label), "") for label in labels]
    return _plot_class_rows(inputs, rows, names, "Generated images by the class asked for, as they came", path)


def plot_resampled_classes(inputs: MetricInputs, probabilities: Tensor, path: Path, *, draws: int = 500) -> Path:
    """Images of each class out of a sampler that knows no classes: p(x|y) by importance resampling.

    `probabilities` [n, K] are another judge's of the generated images; how many images its weights are worth stands
    beside each row, and how often the evidence's own judge sees the class in what was drawn.
    """
    known = [y for y in range(probabilities.shape[1]) if probabilities[:, y].sum() > 0][:MAX_CLASSES]
    drawn = [importance_resample(probabilities, y, draws, inputs.seed) for y in known]
    seen = [
        float((inputs.generated.predicted_classes[rows] == y).double().mean())
        for y, (rows, _) in zip(known, drawn, strict=True)
    ]
    remarks = [f"worth {size:,.0f}, {share:.0%}" for (_, size), share in zip(drawn, seen, strict=True)]
    title = f"Images of each class, drawn again from {inputs.n:,} samples by a judge's p(y|x)"
    names = [(str(y), remark) for y, remark in zip(known, remarks, strict=True)]
    return _plot_class_rows(inputs, [rows[:COLUMNS] for rows, _ in drawn], names, title, path)


def _plot_class_rows(
    inputs: MetricInputs, rows: list[Tensor], names: list[tuple[str, str]], title: str, path: Path
) -> Path:
    """Rows of generated images, each with a name and a remark on its left."""
    side, left = 0.55, 1.15
    sheet = new_canvas(COLUMNS * side + left + 0.15, len(rows) * (side + 0.06) + 0.5, title)
    for row, (chosen, (name, remark)) in enumerate(zip(rows, names, strict=True)):
        bottom = 0.15 + (len(rows) - 1 - row) * (side + 0.06)
        add_image(
            sheet, make_grid(inputs.generated.pixels[chosen], len(chosen)), left, bottom, len(chosen) * side, side
        )
        add_text(sheet, left - 0.1, bottom + side / 2 - 0.04, name, color=GENERATED_COLOR, ha="right")
        add_text(sheet, left - 0.1, bottom + side / 2 - 0.2, remark, color=MUTED_COLOR, fontsize=7, ha="right")
    return save_figure(sheet, path)


def plot_posterior(inputs: MetricInputs, path: Path, *, rows: int = 4, num_images: int = 100) -> Path:
    """The judge's p(y|x) above that of Bayes' rule by the model, for the first test images and for those where the two
    differ the most."""
    view = inputs.test[:num_images]
    by_judge, by_rule = view.probabilities.double().log(), log_posteriors(inputs, num_images)
    worst = kl_divergence(by_judge, by_rule).argsort(descending=True, stable=True)[:rows]
    panels = (("as they came", torch.arange(len(view))[:rows]), (f"furthest apart of {len(view)}", worst))
    width, height = 7.6, rows * 1.5 * IMAGE_INCHES + 1.1
    sheet = new_canvas(width, height, "p(y|x) by the judge (blue) and by Bayes' rule (red)")
    for side, (name, chosen) in enumerate(panels):
        left = 0.15 + side * width / 2
        add_text(sheet, left, height - 0.55, name, color=MUTED_COLOR)
        for row, i in enumerate(chosen.tolist()):
            bottom = height - 0.7 - (row + 1) * 1.5 * IMAGE_INCHES
            add_thumbnail(sheet, left, bottom + 0.15, view.pixels[i])
            _plot_mirrored_bars(sheet, left + 1.3 * IMAGE_INCHES, bottom + 0.15, by_judge[i].exp(), by_rule[i].exp())
    return save_figure(sheet, path)


def _plot_mirrored_bars(ax: Any, left: float, bottom: float, above: Tensor, below: Tensor) -> None:
    """Two rows of probabilities over one axis of classes, one upwards and one downwards."""
    breadth, half = 2.5 / len(above), 0.55 * IMAGE_INCHES
    middle = bottom + half
    for label, (up, down) in enumerate(zip(above.tolist(), below.tolist(), strict=True)):
        x = left + (label + 0.5) * breadth
        ax.bar(x, up * half, 0.7 * breadth, bottom=middle, color=REAL_COLOR)
        ax.bar(x, -down * half, 0.7 * breadth, bottom=middle, color=GENERATED_COLOR)
        if len(above) <= MAX_CLASSES:
            add_text(ax, x, bottom - 0.14, str(label), color=MUTED_COLOR, fontsize=6.5, ha="center")
    ax.plot([left, left + 2.5], [middle, middle], color=MUTED_COLOR, lw=0.5)


def plot_reliability_diagram(result: MetricResult, path: Path) -> Path:
    """Accuracy against confidence, bin by bin, each with its 95 % interval and the size of its share of the images."""
    size = 3.6
    width, height = size + 1.0, size + 1.3
    sheet = new_canvas(width, height, "How often it is right, by how sure it is")
    area = sheet.figure.add_axes((0.75 / width, 0.7 / height, size / width, size / height))
    area.plot([0, 1], [0, 1], color=MUTED_COLOR, lw=1, ls=":")
    for one in result.detail["bins"]:
        ends = wilson(round(one["accuracy"] * one["n"]), one["n"])
        area.plot([one["confidence"]] * 2, ends, color=GENERATED_COLOR, lw=1.5, alpha=0.5, solid_capstyle="butt")
        area.scatter(
            [one["confidence"]], [one["accuracy"]], 12 + 150 * one["n"] / result.n, color=GENERATED_COLOR, zorder=3
        )
    area.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    area.set_xlabel("mean confidence", fontsize=8, color=MUTED_COLOR)
    area.set_ylabel("accuracy", fontsize=8, color=MUTED_COLOR)
    area.tick_params(labelsize=7, colors=MUTED_COLOR, length=2)
    area.spines[["right", "top"]].set_visible(False)
    add_text(sheet, 0.15, 0.1, f"size: share of {result.n:,} images; dotted: as often as it says", color=MUTED_COLOR)
    return save_figure(sheet, path)


def plot_confusion_matrix(counts: Sequence[Sequence[int]], path: Path) -> Path:
    """How many test images of each class (a row) are given each class (a column); shaded by the share of the row."""
    classes, cell = len(counts), 0.42
    size = classes * cell
    sheet = new_canvas(max(size + 1.2, 3.6), size + 1.3, "Test images by class, and the class they are given")
    for row, line in enumerate(counts):
        bottom = 0.45 + (classes - 1 - row) * cell
        add_text(sheet, 0.55, bottom + 0.14, str(row), color=MUTED_COLOR, ha="right")
        add_text(sheet, 0.7 + (row + 0.5) * cell, 0.5 + size, str(row), color=MUTED_COLOR, ha="center")
        for column, count in enumerate(line):
            left, share = 0.7 + column * cell, count / max(1, sum(line))
            sheet.add_patch(
                _confusion_cell(left, bottom, cell, REAL_COLOR if row == column else GENERATED_COLOR, share)
            )
            if count:
                add_text(sheet, left + cell / 2, bottom + 0.14, f"{count:,}", fontsize=7.5, ha="center")
    add_text(
        sheet,
        0.15,
        0.12,
        "rows: the label; columns: the class given; shade: share of the row",
        color=MUTED_COLOR,
        fontsize=7,
    )
    return save_figure(sheet, path)


def _confusion_cell(left: float, bottom: float, side: float, colour: str, share: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((left, bottom), side, side, facecolor=(colour, 0.75 * share), edgecolor="#dddddd", lw=0.5)


def _is_conditional(inputs: MetricInputs) -> bool:
    return bool(getattr(inputs.model, "conditional", False))


def select_test_images(inputs: MetricInputs, rows: Tensor | slice) -> Tensor:
    """Test images as floats, on the model's device."""
    model: Any = inputs.model
    return to_float(inputs.test.pixels[rows].to(next(model.parameters()).device))


def select_test_labels(inputs: MetricInputs, rows: Tensor | slice) -> Tensor | None:
    """The labels of test images for a model that is told them, on its device."""
    if not _is_conditional(inputs) or inputs.test.labels is None:
        return None
    model: Any = inputs.model
    return inputs.test.labels[rows].to(next(model.parameters()).device)
