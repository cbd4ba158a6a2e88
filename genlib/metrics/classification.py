"""Accuracy and calibration of models that classify."""

from typing import cast

from torch import Tensor

from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.inputs import extract_features
from genlib.metrics.stats.calibration import (
    calibration_error,
    calibration_influence,
    confusion_matrix,
    expected_error,
    reliability_bins,
)
from genlib.metrics.stats.strata import variance_of_mean


@metric(question=("Classes recognised?", 1), needs="classifies", bounds=(0, 1))
def accuracy(inputs: MetricInputs) -> MetricResult:
    """Share of all test images whose most probable class by the model is their label. Interval: Wilson."""
    images = classify_test_images(inputs)
    found = compute_accuracy(images)
    labels, num_classes = cast(Tensor, images.labels), images.probabilities.shape[1]
    found.detail["confusion"] = confusion_matrix(labels, images.predicted_classes, num_classes)
    return found


def classify_test_images(inputs: MetricInputs) -> FeatureSet:
    return extract_features(inputs.model, inputs.test.images, next(inputs.model.parameters()).device)


def compute_accuracy(images: FeatureSet) -> MetricResult:
    correct = int(correct_predictions(images).sum())
    return MetricResult.of_share(correct, len(images), correct=correct)


def correct_predictions(images: FeatureSet) -> Tensor:
    if images.labels is None or not len(images):
        raise UndefinedMetric("the data have no labels" if images.labels is None else "there are no test images")
    return images.predicted_classes == images.labels


@metric(question=("Classes recognised?", 2), needs="classifies", better="lower", bounds=(0, 1))
def ece(inputs: MetricInputs) -> MetricResult:
    """Expected calibration error: sum_b n_b / n |accuracy_b - mean confidence_b| over 15 equal bins of the confidence,
    the largest probability (Guo et al. 2017), on all test images. Interval: by the influence of each image."""
    temperature = getattr(inputs.model, "temperature", None)
    return compute_ece(classify_test_images(inputs), 1.0 if temperature is None else float(temperature.value))


def compute_ece(images: FeatureSet, temperature: float) -> MetricResult:
    """The calibration error of a classifier whose logits were divided by `temperature`."""
    correct, probabilities = correct_predictions(images).double(), images.probabilities.double()
    confidence = probabilities.amax(1)
    return MetricResult.of_variance(
        calibration_error(confidence, correct),
        variance_of_mean(calibration_influence(confidence, correct)),
        n=len(images),
        at_least=0.0,
        bins=reliability_bins(confidence, correct),
        by_chance=expected_error(confidence),
        temperature=temperature,
        uncalibrated=calibration_error((temperature * probabilities.log()).softmax(1).amax(1), correct),
    )
