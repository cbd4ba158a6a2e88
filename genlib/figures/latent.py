"""Pictures of what else a model can do than sample: encode, follow a path of codes, take a class, tell one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlib import latent as explore
from genlib.data.batches import seeded
from genlib.data.images import to_float, to_pixels
from genlib.data.png import tile
from genlib.figures.canvas import CELL, MADE, REAL, SOFT, canvas, image, save, show, text
from genlib.metrics.inputs import Evidence
from genlib.metrics.likelihood import posteriors
from genlib.metrics.registry import capabilities, held
from genlib.metrics.result import Measure
from genlib.metrics.stats.bayes import divergence, resample
from genlib.metrics.stats.intervals import wilson

CLASSES = 10  # rows of a figure with a row per class, at the most
COLUMNS = 12
MATRIX = 20  # classes of a confusion matrix that can be read


def write_model_figures(evidence: Evidence, measures: Mapping[str, Measure], folder: Path) -> list[Path]:
    """Every figure that this model's abilities allow; the paths written."""
    return list(_written(evidence, measures, folder))


def _written(evidence: Evidence, measures: Mapping[str, Measure], folder: Path) -> Iterator[Path]:
    model: Any = evidence.model
    can = capabilities(model)
    if hasattr(model, "reconstruct"):
        yield reconstructions(evidence, folder / "reconstructions.png")
    if "fake" in can and "prior" in inspect.signature(model.sample).parameters:
        yield prior_and_mixture(evidence, folder / "prior_and_mixture.png")
    if hasattr(model, "image"):
        yield interpolation(evidence, folder / "interpolation.png")
    if "asked" in held(evidence):
        yield classes(evidence, folder / "classes.png")
    if "conditional" in can:
        yield posterior(evidence, folder / "posterior.png")
    if "bins" in measures.get("ece", Measure()).detail:
        yield reliability(measures["ece"], folder / "reliability.png")
    for name in ("accuracy", "bayes_accuracy"):
        counts = measures.get(name, Measure()).detail.get("confusion", [])
        if 1 < len(counts) <= MATRIX:
            yield confusion(counts, folder / "confusion.png")


def reconstructions(evidence: Evidence, path: Path, *, bands: int = 2) -> Path:
    """Bands of test images, each above what the model gives back of it."""
    model: Any = evidence.model
    shown = evidence.test[: bands * COLUMNS]
    again = explore.reconstruct(model, on_model(evidence, slice(0, len(shown))), told(evidence, slice(0, len(shown))))
    both = zip(*(torch.split(pixels, COLUMNS) for pixels in (shown.pixels, to_pixels(again).cpu())), strict=True)
    width, height = COLUMNS * CELL, 2 * CELL
    sheet = canvas(width + 0.3, bands * (height + 0.15) + 0.5, "Test images, and below each what its code gives back")
    for band, (real, given) in enumerate(both):
        bottom = (bands - 1 - band) * (height + 0.15) + 0.15
        show(sheet, tile(torch.cat([real, given]), len(real)), 0.15, bottom, len(real) * CELL, height)
    return save(sheet, path)


def prior_and_mixture(evidence: Evidence, path: Path, *, side: int = 8) -> Path:
    """Samples of codes from the standard normal, beside samples of codes from the mixture fitted to real ones."""
    model: Any = evidence.model
    size = side * 0.45
    sheet = canvas(2 * size + 0.6, size + 0.85, "Where the codes of samples come from")
    for place, (prior, name) in enumerate((("normal", "the standard normal"), ("mixture", "the fitted mixture"))):
        left = 0.15 + place * (size + 0.3)
        drawn = to_pixels(model.sample(side * side, seed=evidence.seed, prior=prior)).cpu()
        show(sheet, tile(drawn, side), left, 0.15, size, size)
        text(sheet, left, size + 0.25, name, color=SOFT)
    return save(sheet, path)


def interpolation(evidence: Evidence, path: Path, *, rows: int = 6, steps: int = 9) -> Path:
    """Images along the way from one code to another: straight between the codes of two test images, which stand at its
    ends; along the sphere between two draws of the prior for a model without codes."""
    encodes = "encodes" in capabilities(evidence.model)
    ends = pairs(evidence, rows)
    rows, margin = len(ends), 1.2 * CELL if encodes else 0.0
    way = to_pixels(ways(evidence, ends, steps)).cpu()
    title = "From the code of a test image (blue) to that of another" if encodes else "From one draw to another"
    sheet = canvas(steps * CELL + 2 * margin + 0.3, rows * 1.1 * CELL + 0.5, title)
    for row, images in enumerate(torch.split(way, steps)):
        bottom = 0.15 + (rows - 1 - row) * 1.1 * CELL
        show(sheet, tile(images, steps), 0.15 + margin, bottom, steps * CELL, CELL)
        for side, i in enumerate(ends[row].tolist() if encodes else []):
            left = 0.15 + side * (margin + steps * CELL + 0.2 * CELL)
            image(sheet, left, bottom, evidence.test.pixels[i], REAL)
    return save(sheet, path)


def ways(evidence: Evidence, ends: Tensor, steps: int) -> Tensor:
    """Images [rows * steps, C, H, W] between the codes of test images `ends` [rows, 2], or between draws."""
    model: Any = evidence.model
    y = told(evidence, ends[:, 0])
    if "encodes" in capabilities(model):
        a, b = (explore.code(model, on_model(evidence, one), told(evidence, one)) for one in ends.T)
        codes = explore.interpolate(a, b, steps, "linear")
    else:
        draws = torch.randn(2, len(ends), model.latent, generator=seeded(evidence.seed, "interpolation"))
        a, b = draws.to(next(model.parameters()).device)
        codes = explore.interpolate(a, b, steps, "spherical")
    return explore.image(model, codes.flatten(0, 1), None if y is None else y.repeat_interleave(steps))


def pairs(evidence: Evidence, rows: int) -> Tensor:
    """Rows of the test images to go between, int64 [rows, 2]: as they come, or of one class where the model is told
    the class."""
    labels = evidence.test.labels
    if not _conditional(evidence) or labels is None:
        return torch.arange(len(evidence.test) // 2 * 2)[: 2 * rows].view(-1, 2)
    members = [(labels == label).nonzero().squeeze(1) for label in sorted(set(labels.tolist()))]
    return torch.stack([of[:2] for of in members if len(of) > 1][:rows])


def classes(evidence: Evidence, path: Path) -> Path:
    """Generated images of each class that the model was asked for, as they came."""
    asked = evidence.made.labels
    assert asked is not None
    labels = sorted(set(asked.tolist()))[:CLASSES]
    rows = [(asked == label).nonzero().squeeze(1)[:COLUMNS] for label in labels]
    names = [(str(label), "") for label in labels]
    return _class_rows(evidence, rows, names, "Generated images by the class asked for, as they came", path)


def resampled(evidence: Evidence, probabilities: Tensor, path: Path, *, draws: int = 500) -> Path:
    """Images of each class out of a sampler that knows no classes: p(x|y) by importance resampling.

    `probabilities` [n, K] are another judge's of the generated images; how many images its weights are worth stands
    beside each row, and how often the evidence's own judge sees the class in what was drawn.
    """
    known = [y for y in range(probabilities.shape[1]) if probabilities[:, y].sum() > 0][:CLASSES]
    drawn = [resample(probabilities, y, draws, evidence.seed) for y in known]
    seen = [float((evidence.made.classes[one.rows] == y).double().mean()) for y, one in zip(known, drawn, strict=True)]
    remarks = [f"worth {one.effective:,.0f}, {share:.0%}" for one, share in zip(drawn, seen, strict=True)]
    title = f"Images of each class, drawn again from {evidence.n:,} samples by a judge's p(y|x)"
    names = [(str(y), remark) for y, remark in zip(known, remarks, strict=True)]
    return _class_rows(evidence, [one.rows[:COLUMNS] for one in drawn], names, title, path)


def _class_rows(evidence: Evidence, rows: list[Tensor], names: list[tuple[str, str]], title: str, path: Path) -> Path:
    """Rows of generated images, each with a name and a remark on its left."""
    side, left = 0.55, 1.15
    sheet = canvas(COLUMNS * side + left + 0.15, len(rows) * (side + 0.06) + 0.5, title)
    for row, (chosen, (name, remark)) in enumerate(zip(rows, names, strict=True)):
        bottom = 0.15 + (len(rows) - 1 - row) * (side + 0.06)
        show(sheet, tile(evidence.made.pixels[chosen], len(chosen)), left, bottom, len(chosen) * side, side)
        text(sheet, left - 0.1, bottom + side / 2 - 0.04, name, color=MADE, ha="right")
        text(sheet, left - 0.1, bottom + side / 2 - 0.2, remark, color=SOFT, fontsize=7, ha="right")
    return save(sheet, path)


def posterior(evidence: Evidence, path: Path, *, rows: int = 4, looked_at: int = 100) -> Path:
    """The judge's p(y|x) above that of Bayes' rule by the model, for the first test images and for those where the two
    differ the most."""
    view = evidence.test[:looked_at]
    by_judge, by_rule = view.probabilities.double().log(), posteriors(evidence, looked_at)
    worst = divergence(by_judge, by_rule).argsort(descending=True, stable=True)[:rows]
    panels = (("as they came", torch.arange(len(view))[:rows]), (f"furthest apart of {len(view)}", worst))
    width, height = 7.6, rows * 1.5 * CELL + 1.1
    sheet = canvas(width, height, "p(y|x) by the judge (blue) and by Bayes' rule (red)")
    for side, (name, chosen) in enumerate(panels):
        left = 0.15 + side * width / 2
        text(sheet, left, height - 0.55, name, color=SOFT)
        for row, i in enumerate(chosen.tolist()):
            bottom = height - 0.7 - (row + 1) * 1.5 * CELL
            image(sheet, left, bottom + 0.15, view.pixels[i])
            _bars(sheet, left + 1.3 * CELL, bottom + 0.15, by_judge[i].exp(), by_rule[i].exp())
    return save(sheet, path)


def _bars(sheet: Any, left: float, bottom: float, above: Tensor, below: Tensor) -> None:
    """Two rows of probabilities over one axis of classes, one upwards and one downwards."""
    breadth, half = 2.5 / len(above), 0.55 * CELL
    middle = bottom + half
    for label, (up, down) in enumerate(zip(above.tolist(), below.tolist(), strict=True)):
        x = left + (label + 0.5) * breadth
        sheet.bar(x, up * half, 0.7 * breadth, bottom=middle, color=REAL)
        sheet.bar(x, -down * half, 0.7 * breadth, bottom=middle, color=MADE)
        if len(above) <= CLASSES:
            text(sheet, x, bottom - 0.14, str(label), color=SOFT, fontsize=6.5, ha="center")
    sheet.plot([left, left + 2.5], [middle, middle], color=SOFT, lw=0.5)


def reliability(measure: Measure, path: Path) -> Path:
    """Accuracy against confidence, bin by bin, each with its 95 % interval and the size of its share of the images."""
    size = 3.6
    width, height = size + 1.0, size + 1.3
    sheet = canvas(width, height, "How often it is right, by how sure it is")
    area = sheet.figure.add_axes((0.75 / width, 0.7 / height, size / width, size / height))
    area.plot([0, 1], [0, 1], color=SOFT, lw=1, ls=":")
    for one in measure.detail["bins"]:
        ends = wilson(round(one["accuracy"] * one["n"]), one["n"])
        area.plot([one["confidence"]] * 2, ends, color=MADE, lw=1.5, alpha=0.5, solid_capstyle="butt")
        area.scatter([one["confidence"]], [one["accuracy"]], 12 + 150 * one["n"] / measure.n, color=MADE, zorder=3)
    area.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    area.set_xlabel("mean confidence", fontsize=8, color=SOFT)
    area.set_ylabel("accuracy", fontsize=8, color=SOFT)
    area.tick_params(labelsize=7, colors=SOFT, length=2)
    area.spines[["right", "top"]].set_visible(False)
    text(sheet, 0.15, 0.1, f"size: share of {measure.n:,} images; dotted: as often as it says", color=SOFT)
    return save(sheet, path)


def confusion(counts: Sequence[Sequence[int]], path: Path) -> Path:
    """How many test images of each class (a row) are given each class (a column); shaded by the share of the row."""
    classes, cell = len(counts), 0.42
    size = classes * cell
    sheet = canvas(max(size + 1.2, 3.6), size + 1.3, "Test images by class, and the class they are given")
    for row, line in enumerate(counts):
        bottom = 0.45 + (classes - 1 - row) * cell
        text(sheet, 0.55, bottom + 0.14, str(row), color=SOFT, ha="right")
        text(sheet, 0.7 + (row + 0.5) * cell, 0.5 + size, str(row), color=SOFT, ha="center")
        for column, count in enumerate(line):
            left, share = 0.7 + column * cell, count / max(1, sum(line))
            sheet.add_patch(_cell(left, bottom, cell, REAL if row == column else MADE, share))
            if count:
                text(sheet, left + cell / 2, bottom + 0.14, f"{count:,}", fontsize=7.5, ha="center")
    text(
        sheet, 0.15, 0.12, "rows: the label; columns: the class given; shade: share of the row", color=SOFT, fontsize=7
    )
    return save(sheet, path)


def _cell(left: float, bottom: float, side: float, colour: str, share: float) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((left, bottom), side, side, facecolor=(colour, 0.75 * share), edgecolor="#dddddd", lw=0.5)


def _conditional(evidence: Evidence) -> bool:
    return bool(getattr(evidence.model, "conditional", False))


def on_model(evidence: Evidence, rows: Tensor | slice) -> Tensor:
    """Test images as floats, on the model's device."""
    model: Any = evidence.model
    return to_float(evidence.test.pixels[rows].to(next(model.parameters()).device))


def told(evidence: Evidence, rows: Tensor | slice) -> Tensor | None:
    """The labels of test images for a model that is told them, on its device."""
    if not _conditional(evidence) or evidence.test.labels is None:
        return None
    model: Any = evidence.model
    return evidence.test.labels[rows].to(next(model.parameters()).device)
