"""Conditional samplers: are the images of the requested class, and varied?"""

from typing import cast

import torch
from torch import Tensor

from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.groups import kept_groups, sums_without_groups
from genlib.metrics.stats.intervals import NUM_GROUPS

MIN_PER_CLASS = 3  # images of a class, so that two are left when one group is left out
CHUNK_ELEMENTS = 1 << 24


@metric(question=("As asked?", 1), needs="labelled_samples", min_images=1, must_detect={"noise": "lower"})
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
    x, y = (torch.stack([mean_pair_distances(by_class[c]) for c in classes]).mean(0) for by_class in (generated, real))
    if not y.all():
        raise UndefinedMetric("the test images of a class all have the same features")
    detail = {"made": x[0], "real": y[0], "classes": len(classes)}
    return MetricResult.of_jackknife((x / y).tolist(), n=inputs.n, at_least=0.0, **detail)


def _features_by_class(images: FeatureSet) -> dict[int, Tensor]:
    if images.labels is None:
        raise UndefinedMetric("the test images have no labels")
    counts = enumerate(images.labels.bincount().tolist())
    return {c: images.features[images.labels == c] for c, count in counts if count >= MIN_PER_CLASS}


def mean_pair_distances(x: Tensor) -> Tensor:
    """Mean distance between two rows of x, float64 [1 + G]: of all, and with each of G groups left out."""
    x = x.double()
    group = torch.nn.functional.one_hot(torch.arange(len(x)) % NUM_GROUPS, NUM_GROUPS).double()
    rows = max(1, CHUNK_ELEMENTS // len(x))
    pairs = zip(torch.split(x, rows), torch.split(group, rows), strict=True)
    exact = "donot_use_mm_for_euclid_dist"  # 0 between equal rows
    sums = torch.stack([own.T @ torch.cdist(part, x, compute_mode=exact) @ group for part, own in pairs]).sum(0)
    sizes = kept_groups() @ group.sum(0)
    return sums_without_groups(sums) / (sizes * (sizes - 1))
