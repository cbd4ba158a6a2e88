"""Does it know what it sees, and how sure may it be? For models that classify."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from genlib.metrics.inputs import FeatureSet, MetricInputs, extract_features
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.intervals import group_slices, jackknife, wilson

NUM_BINS = 15


@metric(needs="classifies")
def accuracy(inputs: MetricInputs) -> MetricResult:
    """Share of all test images whose most probable class by the model is their label. Interval: Wilson.

    `detail.confusion`: how many images of each label (a row) are given each class (a column).
    """
    view = classify_test_images(inputs)
    found = compute_accuracy(view)
    counts = confusion_matrix(cast(Tensor, view.labels), view.predicted_classes, view.probabilities.shape[1])
    return replace(found, detail=found.detail | {"confusion": counts})


def confusion_matrix(labels: Tensor, classes: Tensor, num_classes: int) -> list[list[int]]:
    """Counts [many][many] of images by label and by the class that they are given, both int64 [n]."""
    counts: list[list[int]] = (
        torch.bincount(labels * num_classes + classes, minlength=num_classes * num_classes)
        .view(num_classes, num_classes)
        .tolist()
    )
    return counts


def classify_test_images(inputs: MetricInputs) -> FeatureSet:
    """All test images as the model itself sees them."""
    model = cast(nn.Module, inputs.model)
    return extract_features(model, inputs.test.images, next(model.parameters()).device)


def compute_accuracy(feature_set: FeatureSet) -> MetricResult:
    """The accuracy of the judge that saw `view`; goes on the card of every number that judge gave."""
    correct = correct_predictions(feature_set)
    low, high = wilson(int(correct.sum()), len(feature_set))
    return MetricResult(
        int(correct.sum()) / len(feature_set), low, high, n=len(feature_set), detail={"correct": int(correct.sum())}
    )


def correct_predictions(feature_set: FeatureSet) -> Tensor:
    """Whether each image's most probable class is its label, bool [n]."""
    if feature_set.labels is None:
        raise UndefinedMetric("the data have no labels")
    if not len(feature_set):
        raise UndefinedMetric("there are no test images")
    return feature_set.predicted_classes == feature_set.labels


@metric(needs="classifies", better="lower")
def ece(inputs: MetricInputs) -> MetricResult:
    """Expected calibration error: sum_b n_b / n |accuracy_b - mean confidence_b| over 15 equal bins of the confidence,
    the largest probability (Guo et al. 2017), on all test images. Interval: delete-group jackknife.

    Biased upwards: `detail.by_chance` is about what perfectly calibrated probabilities would score at this n, the sum
    over bins of E|binomial - mean| by the normal law. `detail.uncalibrated` is the error without the temperature, and
    `detail.bins` is the reliability diagram.
    """
    temperature = getattr(inputs.model, "temperature", None)
    return compute_ece(classify_test_images(inputs), 1.0 if temperature is None else float(temperature.value))


def compute_ece(feature_set: FeatureSet, temperature: float) -> MetricResult:
    """The calibration error of a judge whose logits were divided by `temperature`."""
    correct, n = correct_predictions(feature_set).double(), len(feature_set)
    confidence = feature_set.probabilities.double().amax(1)
    error = calibration_error(confidence, correct)
    without = [
        calibration_error(_drop_group(confidence, group), _drop_group(correct, group)) for group in group_slices(n)
    ]
    low, high = jackknife(error, without)
    raw = (temperature * feature_set.probabilities.double().log()).softmax(1).amax(1)
    detail = {
        "bins": reliability_bins(confidence, correct),
        "by_chance": expected_error(confidence),
        "temperature": temperature,
        "uncalibrated": calibration_error(raw, correct),
    }
    return MetricResult(error, max(0.0, low), high, n=n, detail=detail)


def _drop_group(values: Tensor, group: slice) -> Tensor:
    return torch.cat([values[: group.start], values[group.stop :]])


def reliability_bins(confidence: Tensor, correct: Tensor) -> list[dict[str, float]]:
    """Of each bin that holds images: its upper end, how many, their accuracy and their mean confidence."""
    where = assign_bins(confidence)
    return [
        {
            "up_to": (b + 1) / NUM_BINS,
            "n": len(of),
            "accuracy": float(correct[of].mean()),
            "confidence": float(confidence[of].mean()),
        }
        for b in range(NUM_BINS)
        if len(of := (where == b).nonzero().squeeze(1))
    ]


def expected_error(confidence: Tensor) -> float:
    """About the calibration error of n images, each of which is right with the probability of its confidence.

    In a bin the number right less its mean has the variance v = sum c (1 - c), and E|N(0, v)| = sqrt(2 v / pi).
    """
    variance = torch.zeros(NUM_BINS, dtype=torch.float64).index_add(
        0, assign_bins(confidence), confidence * (1 - confidence)
    )
    return float((2 / math.pi * variance).sqrt().sum()) / len(confidence)


def assign_bins(confidence: Tensor) -> Tensor:
    """Bin b holds b / 15 < confidence <= (b + 1) / 15."""
    return (confidence * NUM_BINS).ceil().long().clamp(1, NUM_BINS) - 1


def calibration_error(confidence: Tensor, correct: Tensor) -> float:
    """sum_b |sum of correct - sum of confidence within b| / n, both float64 [n]."""
    gaps = torch.zeros(NUM_BINS, dtype=torch.float64).index_add(0, assign_bins(confidence), correct - confidence)
    return float(gaps.abs().sum()) / len(correct)
