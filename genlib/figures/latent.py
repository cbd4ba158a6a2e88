"""Figures of latent spaces: interpolations, class samples, Bayes' rule."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlib.data.images import to_pixels
from genlib.data.pixels import iter_pieces
from genlib.figures.canvas import GENERATED_COLOR, IMAGE_INCHES, MUTED_COLOR, REAL_COLOR, Canvas, plot_rows
from genlib.latent import LatentSpace, decode_image, interpolate, reconstruct
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.likelihood import log_posteriors
from genlib.metrics.stats.bayes import importance_resample, kl_divergence

MAX_CLASSES = 10  # rows of a figure with a row per class
COLUMNS = 12
MAX_ENCODED_IMAGES = 500  # training images for the mean and deviation of codes
NUM_DRAWS = 500  # images drawn for each class by importance resampling


def plot_reconstructions(inputs: MetricInputs, path: Path, *, num_images: int = 2 * COLUMNS) -> Path:
    test = inputs.test[:num_images]
    space = LatentSpace(inputs.model, test.images.read(), inputs.train[:MAX_ENCODED_IMAGES].images.read(), inputs.seed)
    decoded = to_pixels(reconstruct(space.model, space.x, space.y)).cpu()
    pairs = zip(iter_pieces(test.pixels, COLUMNS), torch.split(decoded, COLUMNS), strict=True)
    rows = [row for pair in pairs for row in pair]
    return plot_rows(rows, "Test images, and below each its reconstruction", path, group=2)


def plot_prior_mixture(inputs: MetricInputs, path: Path, *, rows: int = 4) -> Path:
    """Samples by codes of the standard normal, above samples by codes of the mixture fitted to those of real images."""
    model: Any = inputs.model
    samples = [model.sample(rows * COLUMNS, seed=inputs.seed, prior=prior) for prior in ("normal", "mixture")]
    images = [row for each in samples for row in torch.split(to_pixels(each).cpu(), COLUMNS)]
    labels = [("normal", "standard normal"), ("mixture", "fitted to codes")]
    return plot_rows(images, "Samples by the distribution of their codes", path, group=rows, labels=labels)


def plot_interpolation(inputs: MetricInputs, path: Path, *, rows: int = 6, steps: int = 9) -> Path:
    """Between the codes of the test images at the ends of a row; between draws for a model that does not encode."""
    ends = select_endpoints(inputs, rows)
    images = torch.split(to_pixels(decode_interpolations(inputs, ends, steps)).cpu(), steps)
    if not hasattr(inputs.model, "encode_mean"):
        return plot_rows(images, "From one draw to another", path)
    pixels = inputs.test.pixels
    framed = [
        torch.cat([pixels[a][None], row, pixels[b][None]]) for (a, b), row in zip(ends.tolist(), images, strict=True)
    ]
    return plot_rows(framed, "From the code of a test image (first) to that of another (last)", path)


def decode_interpolations(inputs: MetricInputs, ends: Tensor, steps: int) -> Tensor:
    """Images [rows * steps, C, H, W] between the codes of test images `ends` [rows, 2], or between draws."""
    images = inputs.test[ends.T.flatten()].images.read()
    space = LatentSpace(
        inputs.model, images, inputs.train[:MAX_ENCODED_IMAGES].images.read(), inputs.seed, "interpolation"
    )
    a, b = space.z.chunk(2)
    codes = interpolate(a, b, steps, "linear" if space.has_encoder else "spherical")
    y = None if space.y is None else space.y[: len(ends)].repeat_interleave(steps)
    return decode_image(space.model, codes.flatten(0, 1), y)


def select_endpoints(inputs: MetricInputs, rows: int) -> Tensor:
    """Test images to interpolate between, int64 [rows, 2]: in their order, or of one class for a conditional model."""
    labels = inputs.test.labels
    if labels is None or not getattr(inputs.model, "conditional", False):
        return torch.arange(len(inputs.test) // 2 * 2)[: 2 * rows].view(-1, 2)
    members = [(labels == label).nonzero().squeeze(1) for label in sorted(set(labels.tolist()))]
    return torch.stack([of[:2] for of in members if len(of) > 1][:rows])


def plot_class_samples(inputs: MetricInputs, path: Path) -> Path:
    samples = inputs.generated
    assert samples.labels is not None
    classes = torch.unique(samples.labels)[:MAX_CLASSES].tolist()
    rows = [samples.pixels[(samples.labels == label).nonzero().flatten()[:COLUMNS]] for label in classes]
    labels = [(str(label), "") for label in classes]
    return plot_rows(rows, "Generated images by requested class, the first of each", path, labels=labels)


def plot_resampled_classes(inputs: MetricInputs, probabilities: Tensor, path: Path) -> Path:
    """Images of each class from an unconditional sampler: p(x|y) by importance resampling with the `probabilities`
    [n, K] of another classifier. Beside each row stand the effective number of images, and the share of those drawn in
    which the classifier of `inputs` sees the class."""
    rows, labels = [], []
    for y in [y for y in range(probabilities.shape[1]) if probabilities[:, y].sum() > 0][:MAX_CLASSES]:
        drawn, effective_size = importance_resample(probabilities, y, NUM_DRAWS, inputs.seed)
        share = float((inputs.generated.predicted_classes[drawn] == y).double().mean())
        rows.append(inputs.generated.pixels[drawn[:COLUMNS]])
        labels.append((str(y), f"worth {effective_size:,.0f}, {share:.0%}"))
    title = f"Images of each class, resampled from {inputs.n:,} samples by a classifier's p(y|x)"
    return plot_rows(rows, title, path, labels=labels)


def plot_posterior(inputs: MetricInputs, path: Path, *, rows: int = 4, num_images: int = 100) -> Path:
    """The classifier's p(y|x) above that of Bayes' rule by the model, for the first test images and for those where
    the two differ most."""
    test = inputs.test[:num_images]
    by_classifier, by_rule = test.probabilities.double().log(), log_posteriors(inputs, num_images)
    worst = kl_divergence(by_classifier, by_rule).argsort(descending=True, stable=True)[:rows]
    panels = (("the first", torch.arange(len(test))[:rows]), (f"furthest apart of {len(test)}", worst))
    width, height = 7.6, rows * 1.5 * IMAGE_INCHES + 1.1
    canvas = Canvas(width, height, "p(y|x) by the classifier (blue) and by Bayes' rule (red)")
    for side, (name, chosen) in enumerate(panels):
        left = 0.15 + side * width / 2
        canvas.add_text(left, height - 0.55, name, MUTED_COLOR)
        for row, i in enumerate(chosen.tolist()):
            bottom = height - 0.55 - (row + 1) * 1.5 * IMAGE_INCHES
            canvas.add_thumbnail(left, bottom, test.pixels[i])
            _plot_mirrored_bars(canvas, left + 1.3 * IMAGE_INCHES, bottom, by_classifier[i].exp(), by_rule[i].exp())
    return canvas.save(path)


def _plot_mirrored_bars(canvas: Canvas, left: float, bottom: float, above: Tensor, below: Tensor) -> None:
    """Two rows of probabilities over one axis of classes, one upwards and one downwards."""
    width, half = 2.5 / len(above), 0.55 * IMAGE_INCHES
    middle = bottom + half
    for label, (up, down) in enumerate(zip(above.tolist(), below.tolist(), strict=True)):
        x = left + (label + 0.5) * width
        canvas.ax.bar(x, up * half, 0.7 * width, bottom=middle, color=REAL_COLOR)
        canvas.ax.bar(x, -down * half, 0.7 * width, bottom=middle, color=GENERATED_COLOR)
        if len(above) <= MAX_CLASSES:
            canvas.add_label(x, bottom - 0.14, str(label))
    canvas.ax.plot([left, left + 2.5], [middle, middle], color=MUTED_COLOR, lw=0.5)
