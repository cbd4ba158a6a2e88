"""Conditional samplers: are the images of the requested class, and varied?"""

from collections.abc import Sequence
from statistics import fmean
from typing import cast

import torch
from torch import Tensor

from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.strata import variance_of_mean

MIN_PER_CLASS = 3  # images of a class
CHUNK_ELEMENTS = 1 << 24


@metric(
    question=("As asked?", 1), needs="labelled_samples", min_images=1, must_detect={"noise": "lower"}, bounds=(0, 1)
)
def label_agreement(inputs: MetricInputs) -> MetricResult:
    """Share of generated images to which the classifier gives the class that was asked for. Interval: Wilson."""
    agreed = int((inputs.generated.predicted_classes == cast(Tensor, inputs.generated.labels)).sum())
    return MetricResult.of_share(agreed, inputs.n, agreed=agreed)


@metric(
    question=("As asked?", 2), needs="labelled_samples", better="real", min_images=40, must_detect={"collapse": "lower"}
)
def one_to_many(inputs: MetricInputs) -> MetricResult:
    """Mean distance in features of two images asked for one class, over that of two test images of it."""
    generated, real = _features_by_class(inputs.generated), _features_by_class(inputs.real)
    classes = sorted(generated.keys() & real.keys())
    if not classes:
        raise UndefinedMetric(f"needs {MIN_PER_CLASS} generated and test images of one class")
    (x, of_x), (y, of_y) = (mean_spread([by_class[c] for c in classes]) for by_class in (generated, real))
    if not y:
        raise UndefinedMetric("the test images of a class all have the same features")
    detail = {"made": x, "real": y, "classes": len(classes)}
    variance = (of_x + (x / y) ** 2 * of_y) / y**2
    return MetricResult.of_variance(x / y, variance, n=inputs.n, at_least=0.0, **detail)


def _features_by_class(images: FeatureSet) -> dict[int, Tensor]:
    if images.labels is None:
        raise UndefinedMetric("the test images have no labels")
    counts = enumerate(images.labels.bincount().tolist())
    return {c: images.features[images.labels == c] for c, count in counts if count >= MIN_PER_CLASS}


def mean_spread(classes: Sequence[Tensor]) -> tuple[float, float]:
    """The mean distance between two rows of a class, averaged over classes, and its variance: that of a class is a
    U-statistic, on which an image weighs by twice its own mean distance (Hoeffding 1948)."""
    means = [mean_distances(x) for x in classes]
    spread = fmean(float(each.mean()) for each in means)
    return spread, sum(4 * variance_of_mean(each) for each in means) / len(classes) ** 2


def mean_distances(x: Tensor) -> Tensor:
    """Of each row of x to the others, float64 [n]."""
    x = x.double()
    exact = "donot_use_mm_for_euclid_dist"  # 0 between equal rows
    parts = torch.split(x, max(1, CHUNK_ELEMENTS // len(x)))
    return torch.cat([torch.cdist(part, x, compute_mode=exact).sum(1) for part in parts]) / (len(x) - 1)
