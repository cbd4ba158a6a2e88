"""Does it make what it was asked for, and not always the same? For conditional samplers."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.intervals import NUM_GROUPS, jackknife, wilson

MIN_PER_CLASS = 3  # images of a class, so that two are left when one group is left out
CHUNK_ELEMENTS = 1 << 24


@metric(needs="labelled_samples", must_detect={"noise": "lower"})
def label_agreement(inputs: MetricInputs) -> MetricResult:
    """Share of generated images to which the judge gives the class that the model was asked for. Interval: Wilson.

    Its null is the judge's accuracy on as many real images, the most that a perfect model gets. One image per class,
    over and over, scores 1.
    """
    asked = cast(Tensor, inputs.generated.labels)
    agreed = int((inputs.generated.predicted_classes == asked).sum())
    low, high = wilson(agreed, inputs.n)
    return MetricResult(agreed / inputs.n, low, high, n=inputs.n, detail={"agreed": agreed})


@metric(needs="labelled_samples", min_images=40, better="real", must_detect={"collapse": "lower"})
def one_to_many(inputs: MetricInputs) -> MetricResult:
    """How far apart, in features, two images asked for one class are, over how far apart two test images of it are.

    Means over pairs of a class, then over classes; 0 where each class is one image, 1 as varied as real. After Zhu et
    al. 2017 (BicycleGAN), who take LPIPS for the distance. Interval: delete-group jackknife, groups within each class.
    """
    made, real = _features_by_class(inputs.generated), _features_by_class(inputs.real)
    classes = sorted(made.keys() & real.keys())
    if not classes:
        raise UndefinedMetric(f"needs {MIN_PER_CLASS} generated and test images of one class")
    of_made, of_real = (torch.stack([mean_pair_distances(by[c]) for c in classes]).mean(0) for by in (made, real))
    if not of_real.all():
        raise UndefinedMetric("the test images of a class are all alike to the judge")
    value, *without = (of_made / of_real).tolist()
    low, high = jackknife(value, without)
    detail = {"made": of_made[0], "real": of_real[0], "classes": len(classes)}
    return MetricResult(value, max(0.0, low), high, n=inputs.n, detail=detail)


def _features_by_class(feature_set: FeatureSet) -> dict[int, Tensor]:
    """The features of each class that has enough images."""
    if feature_set.labels is None:
        raise UndefinedMetric("the test images have no labels")
    counts = feature_set.labels.bincount().tolist()
    return {
        c: feature_set.features[feature_set.labels == c] for c, count in enumerate(counts) if count >= MIN_PER_CLASS
    }


def _exact_distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")  # 0 between equal rows


def mean_pair_distances(x: Tensor) -> Tensor:
    """Mean distance between two rows of x, float64 [1 + G]: of all, and with each of G groups left out."""
    x = x.double()
    group = torch.nn.functional.one_hot(torch.arange(len(x)) % NUM_GROUPS, NUM_GROUPS).double()
    rows = max(1, CHUNK_ELEMENTS // len(x))
    pairs = zip(torch.split(x, rows), torch.split(group, rows), strict=True)
    sums = torch.stack([own.T @ _exact_distances(part, x) @ group for part, own in pairs]).sum(0)
    kept = 1 - torch.cat([torch.zeros(1, NUM_GROUPS), torch.eye(NUM_GROUPS)]).double()
    sizes = kept @ group.sum(0)
    return torch.einsum("kg,gh,kh->k", kept, sums, kept) / (sizes * (sizes - 1))
