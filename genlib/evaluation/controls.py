"""Negative controls: images with a known fault, scored like a model. A metric that misses a fault is not trusted, and
neither is one that takes a fault for another: images all alike, or blurred, for copies.

Six sets of at most MAX_CONTROL_IMAGES: `real` held-out images, `copies` of training images, `stored` (a few held-out
images, repeated with jitter), `collapse` (one image per class, or ten without labels), `noise`, and `blurred`: `real`
through a Gaussian of one pixel.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.data.images import StoredImages
from genlib.data.pixels import PIECE_BYTES, images_within, iter_pieces, store_pixels
from genlib.data.random import seeded_generator
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import CONTROL_LABELS, Control, ExpectedShift
from genlib.metrics.result import MetricResult

MAX_CONTROL_IMAGES = 1000
JITTER_STD = 2.0  # grey levels
BLUR_STD, BLUR_RADIUS = 1.0, 3  # pixels; beyond the radius lies 0.3 % of a Gaussian's weight
UNLABELLED_COLLAPSE_IMAGES = 10  # images in `collapse` where there are no classes
FAR = 10  # intervals of real images: a value so far beyond them is detected, however wide its own interval
COUNT_TOLERANCE = 1.25  # factor by which a count may miss the number of stored images, beside its interval


def add_controls(inputs: MetricInputs, extract: Callable[[StoredImages], FeatureSet]) -> MetricInputs:
    """`inputs` with their controls, by the extractor `extract`; none for a model that generates no images."""
    n = min(MAX_CONTROL_IMAGES, inputs.n, len(inputs.valid))
    controls = _build_controls(inputs, n) if n else {}
    return replace(inputs, controls={name: extract(images) for name, images in controls.items()})


def _build_controls(inputs: MetricInputs, n: int) -> dict[str, StoredImages]:
    train, valid, seed = inputs.train, inputs.valid, inputs.seed
    real, first = valid[:n].images, _first_per_class(valid)
    stored = torch.randint(num_memorized(n), (n,), generator=seeded_generator(seed, "stored"))
    collapse = first[torch.randint(len(first), (n,), generator=seeded_generator(seed, "collapse"))]
    controls = {
        "real": real,
        "stored": _add_jitter(real[stored], seed),
        "collapse": valid[collapse].images,
        "noise": _draw_noise(real, seed),
        "blurred": _map_pieces(blur_pixels, real),
    }
    if train.is_available:
        copies = torch.randint(len(train), (n,), generator=seeded_generator(seed, "copies"))
        controls["copies"] = train[copies].images
    return controls


def num_memorized(n: int) -> int:
    """How many different images the n of `stored` repeat."""
    return min(n, max(2, n // 10))


def _add_jitter(images: StoredImages, seed: int) -> StoredImages:
    generator = seeded_generator(seed, "jitter")

    def shake(pixels: Tensor) -> Tensor:
        noise = JITTER_STD * torch.randn(pixels.shape, generator=generator)
        return (pixels + noise).round().clamp(0, 255).to(torch.uint8)

    return _map_pieces(shake, images)


def _draw_noise(images: StoredImages, seed: int) -> StoredImages:
    """Uniform grey levels in the place of the pixels of `images`."""
    generator = seeded_generator(seed, "noise")
    return _map_pieces(lambda x: torch.randint(256, x.shape, generator=generator, dtype=torch.uint8), images)


def _map_pieces(function: Callable[[Tensor], Tensor], images: StoredImages) -> StoredImages:
    """`function` of a piece of the pixels at a time. Normal draws come in blocks of 16 numbers: pieces of a multiple of
    16 images, where there are several, give those of the whole."""
    size = max(16, images_within(PIECE_BYTES, images.shape) // 16 * 16)
    pieces = map(function, iter_pieces(images.pixels, size))
    return StoredImages(store_pixels(pieces, images.pixels.shape), images.labels)


def blur_pixels(pixels: Tensor) -> Tensor:
    """uint8 [n, C, H, W] convolved with exp(-(i^2 + j^2) / (2 std^2)), of sum 1; borders repeat."""
    line = torch.exp(-(torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1.0) / BLUR_STD).square() / 2)
    channels = pixels.shape[1]
    kernel = (line.outer(line) / line.sum() ** 2).expand(channels, 1, -1, -1)
    padded = F.pad(pixels.float(), [BLUR_RADIUS] * 4, mode="replicate")
    return F.conv2d(padded, kernel, groups=channels).round().to(torch.uint8)


def _first_per_class(feature_set: FeatureSet) -> Tensor:
    """The row of the first image of each class; without labels, the first rows."""
    if feature_set.labels is None:
        return torch.arange(min(UNLABELLED_COLLAPSE_IMAGES, len(feature_set)))
    classes = feature_set.labels.tolist()
    return torch.tensor([classes.index(c) for c in sorted(set(classes))])


def run_controls(
    metric: Callable[[MetricInputs], MetricResult], inputs: MetricInputs, must_detect: Mapping[Control, ExpectedShift]
) -> dict[str, Any]:
    """For each control that `metric` must detect: value, interval, and `failed`, why it did not, or None."""
    if not inputs.controls or not must_detect:
        return {}
    real = metric(inputs.with_control_samples("real"))
    found: dict[str, Any] = {}
    for name, must in must_detect.items():
        if name in inputs.controls:
            got = metric(inputs.with_control_samples(name))
            facts = {"value": got.value, "low": got.low, "high": got.high, "n": got.n, "must": must, "real": real.value}
            found[name] = {**facts, "failed": _failure_reason(name, must, got, real)}
    return found


def _failure_reason(name: Control, must: ExpectedShift, result: MetricResult, real: MetricResult) -> str | None:
    """None where the fault was detected, or where the metric has no value at this number of images."""
    if result.value is None or real.value is None:
        return None
    (low, high), (real_low, real_high) = result.bounds, real.bounds
    reach = FAR * (real_high - real_low)
    if must == "count":
        expected = 1 / (1 / num_memorized(result.n) + 1 / real.value)
        seen = low / COUNT_TOLERANCE <= expected <= high * COUNT_TOLERANCE
        return None if seen else f"of {num_memorized(result.n)} {CONTROL_LABELS[name]} it counts {result.value:.3g}"
    values = f"{CONTROL_LABELS[name]} get {result.value:.3g} and real images {real.value:.3g} at n = {result.n}"
    is_lower = high < real_low or result.value < real_low - reach
    is_higher = real_high < low or real_high + reach < result.value
    shifted = is_lower if must.endswith("lower") else is_higher
    if must.startswith("not"):
        return f"{values}, as copies would" if shifted else None
    return None if shifted else values
