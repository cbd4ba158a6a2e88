"""Conditional samplers: are the images of the requested class, and varied?"""

from typing import cast

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.inputs import FeatureSet
from genlib.metrics.stats.groups import kept_groups, sums_without_groups
from genlib.metrics.stats.intervals import NUM_GROUPS, jackknife

MIN_PER_CLASS = 3  # images of a class, so that two are left when one group is left out
CHUNK_ELEMENTS = 1 << 24


@metric(
    summary="Share of generated images to which the classifier gives the class that the model was asked for. "
    "Interval: Wilson.",
    question=("As asked?", 1),
    needs="labelled_samples",
    must_detect={"noise": "lower"},
)
def label_agreement(inputs: MetricInputs) -> MetricResult:
    """Its baseline is the classifier's accuracy. One image per class, over and over, scores 1."""
    agreed = int((inputs.generated.predicted_classes == cast(Tensor, inputs.generated.labels)).sum())
    return MetricResult.of_share(agreed, inputs.n, agreed=agreed)


@metric(
    summary="How far apart, in features, two images asked for one class are, over how far apart two test images of it "
    "are.",
    question=("As asked?", 2),
    needs="labelled_samples",
    better="real",
    min_images=40,
    must_detect={"collapse": "lower"},
)
def one_to_many(inputs: MetricInputs) -> MetricResult:
    """Means over pairs of a class, then over classes; 0 where each class is one image, 1 as varied as real. After Zhu
    et al. 2017 (BicycleGAN), who use LPIPS. Interval: delete-group jackknife within each class."""
    generated, real = _features_by_class(inputs.generated), _features_by_class(inputs.real)
    classes = sorted(generated.keys() & real.keys())
    if not classes:
        raise UndefinedMetric(f"needs {MIN_PER_CLASS} generated and test images of one class")
    of_generated, of_real = (
        torch.stack([mean_pair_distances(by_class[c]) for c in classes]).mean(0) for by_class in (generated, real)
    )
    if not of_real.all():
        raise UndefinedMetric("the test images of a class all have the same features")
    value, *without = (of_generated / of_real).tolist()
    low, high = jackknife(value, without)
    detail = {"made": of_generated[0], "real": of_real[0], "classes": len(classes)}
    return MetricResult(value, max(0.0, low), high, n=inputs.n, detail=detail)


def _features_by_class(images: FeatureSet) -> dict[int, Tensor]:
    """The features of each class that has enough images."""
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
