"""Negative controls: images with a known fault, scored like a model. A metric that misses a fault is not trusted.

Five sets of at most MAX_CONTROL_IMAGES: `real` held-out images, `copies` of training images, `stored` (a few held-out
images, repeated with jitter), `collapse` (one image per class, or ten without labels) and `noise`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from genlib.data.images import Images
from genlib.data.random import seeded_generator

if TYPE_CHECKING:
    from genlib.metrics.inputs import FeatureSet, MetricInputs
    from genlib.metrics.result import MetricResult

MAX_CONTROL_IMAGES = 1000
JITTER_STD = 2.0  # grey levels
UNLABELLED_COLLAPSE_IMAGES = 10  # images in `collapse` where there are no classes
COUNT_TOLERANCE = 1.25  # factor by which a count may miss the number of stored images, beside its interval
Control = Literal["copies", "stored", "collapse", "noise"]
ExpectedShift = Literal[
    "lower", "higher", "count"
]  # than real images, intervals apart; or return the number of stored images
CONTROL_LABELS: dict[Control, str] = {
    "copies": "copies of training images",
    "stored": "stored images with jitter",
    "collapse": "one image per class",
    "noise": "noise",
}


def add_controls(inputs: MetricInputs, extract: Callable[[Images], FeatureSet]) -> MetricInputs:
    """`inputs` with their controls, by the extractor `extract`; none for a model that generates no images."""
    n = min(MAX_CONTROL_IMAGES, inputs.n, len(inputs.valid))
    return replace(
        inputs, controls={name: extract(images) for name, images in _build_controls(inputs, n).items()} if n else {}
    )


def _build_controls(inputs: MetricInputs, n: int) -> dict[str, Images]:
    train, valid, seed = inputs.train, inputs.valid, inputs.seed
    real = valid[:n].images
    drawn = torch.randint(num_memorized(n), (n,), generator=seeded_generator(seed, "stored"))
    again = _add_jitter(real[drawn], seed)
    first = _first_per_class(valid)
    collapse = valid[first[torch.randint(len(first), (n,), generator=seeded_generator(seed, "collapse"))]].images
    noise = torch.randint(256, real.pixels.shape, generator=seeded_generator(seed, "noise"), dtype=torch.uint8)
    faulty = {"real": real, "stored": again, "collapse": collapse, "noise": Images(noise, real.labels)}
    if train.is_available:
        faulty["copies"] = train[torch.randint(len(train), (n,), generator=seeded_generator(seed, "copies"))].images
    return faulty


def num_memorized(n: int) -> int:
    """How many different images the n of `stored` repeat."""
    return min(n, max(2, n // 10))


def _add_jitter(images: Images, seed: int) -> Images:
    shake = JITTER_STD * torch.randn(images.pixels.shape, generator=seeded_generator(seed, "jitter"))
    return Images((images.pixels + shake).round().clamp(0, 255).to(torch.uint8), images.labels)


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
        if name not in inputs.controls:
            continue
        got = metric(inputs.with_control_samples(name))
        facts = {"value": got.value, "low": got.low, "high": got.high, "n": got.n, "must": must, "real": real.value}
        found[name] = {**facts, "failed": _failure_reason(name, must, got, real)}
    return found


def _failure_reason(
    name: Control, expected_shift: ExpectedShift, result: MetricResult, real: MetricResult
) -> str | None:
    """None where the fault was detected, or where the metric has no value at this number of images."""
    if result.value is None or real.value is None:
        return None
    if expected_shift == "count":
        low, high = (result.value if end is None else end for end in (result.low, result.high))
        expected = 1 / (1 / num_memorized(result.n) + 1 / real.value)
        seen = low / COUNT_TOLERANCE <= expected <= high * COUNT_TOLERANCE
        return None if seen else f"of {num_memorized(result.n)} {CONTROL_LABELS[name]} it counts {result.value:.3g}"
    apart = _is_below(result, real) if expected_shift == "lower" else _is_below(real, result)
    return (
        None
        if apart
        else f"{CONTROL_LABELS[name]} get {result.value:.3g} and real images {real.value:.3g} at n = {result.n}"
    )


def _is_below(one: MetricResult, other: MetricResult) -> bool:
    """Whether all of the interval of `one` lies below that of `other`."""
    high = one.value if one.high is None else one.high
    low = other.value if other.low is None else other.low
    return high is not None and low is not None and high < low
