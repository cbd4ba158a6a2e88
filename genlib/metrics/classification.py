"""Does it know what it sees, and how sure may it be? For models that classify."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from genlib.metrics.inputs import Evidence, View, look
from genlib.metrics.registry import metric
from genlib.metrics.result import Measure, Undefined
from genlib.metrics.stats.intervals import group_slices, jackknife, wilson

BINS = 15


@metric(needs="classifies")
def accuracy(evidence: Evidence) -> Measure:
    """Share of all test images whose most probable class by the model is their label. Interval: Wilson.

    `detail.confusion`: how many images of each label (a row) are given each class (a column).
    """
    view = seen_by(evidence)
    found = accuracy_of(view)
    counts = confusion(cast(Tensor, view.labels), view.classes, view.probabilities.shape[1])
    return replace(found, detail=found.detail | {"confusion": counts})


def confusion(labels: Tensor, classes: Tensor, many: int) -> list[list[int]]:
    """Counts [many][many] of images by label and by the class that they are given, both int64 [n]."""
    counts: list[list[int]] = torch.bincount(labels * many + classes, minlength=many * many).view(many, many).tolist()
    return counts


def seen_by(evidence: Evidence) -> View:
    """All test images as the model itself sees them."""
    model = cast(nn.Module, evidence.model)
    return look(model, evidence.test.images, next(model.parameters()).device)


def accuracy_of(view: View) -> Measure:
    """The accuracy of the judge that saw `view`; goes on the card of every number that judge gave."""
    correct = hits(view)
    low, high = wilson(int(correct.sum()), len(view))
    return Measure(int(correct.sum()) / len(view), low, high, n=len(view), detail={"correct": int(correct.sum())})


def hits(view: View) -> Tensor:
    """Whether each image's most probable class is its label, bool [n]."""
    if view.labels is None:
        raise Undefined("the data have no labels")
    if not len(view):
        raise Undefined("there are no test images")
    return view.classes == view.labels


@metric(needs="classifies", better="lower")
def ece(evidence: Evidence) -> Measure:
    """Expected calibration error: sum_b n_b / n |accuracy_b - mean confidence_b| over 15 equal bins of the confidence,
    the largest probability (Guo et al. 2017), on all test images. Interval: delete-group jackknife.

    Biased upwards: `detail.by_chance` is about what perfectly calibrated probabilities would score at this n, the sum
    over bins of E|binomial - mean| by the normal law. `detail.uncalibrated` is the error without the temperature, and
    `detail.bins` is the reliability diagram.
    """
    temperature = getattr(evidence.model, "temperature", None)
    return ece_of(seen_by(evidence), 1.0 if temperature is None else float(temperature.value))


def ece_of(view: View, temperature: float) -> Measure:
    """The calibration error of a judge whose logits were divided by `temperature`."""
    correct, n = hits(view).double(), len(view)
    confidence = view.probabilities.double().amax(1)
    error = calibration_error(confidence, correct)
    without = [calibration_error(_without(confidence, group), _without(correct, group)) for group in group_slices(n)]
    low, high = jackknife(error, without)
    raw = (temperature * view.probabilities.double().log()).softmax(1).amax(1)
    detail = {
        "bins": reliability(confidence, correct),
        "by_chance": by_chance(confidence),
        "temperature": temperature,
        "uncalibrated": calibration_error(raw, correct),
    }
    return Measure(error, max(0.0, low), high, n=n, detail=detail)


def _without(values: Tensor, group: slice) -> Tensor:
    return torch.cat([values[: group.start], values[group.stop :]])


def reliability(confidence: Tensor, correct: Tensor) -> list[dict[str, float]]:
    """Of each bin that holds images: its upper end, how many, their accuracy and their mean confidence."""
    where = bins_of(confidence)
    return [
        {
            "up_to": (b + 1) / BINS,
            "n": len(of),
            "accuracy": float(correct[of].mean()),
            "confidence": float(confidence[of].mean()),
        }
        for b in range(BINS)
        if len(of := (where == b).nonzero().squeeze(1))
    ]


def by_chance(confidence: Tensor) -> float:
    """About the calibration error of n images, each of which is right with the probability of its confidence.

    In a bin the number right less its mean has the variance v = sum c (1 - c), and E|N(0, v)| = sqrt(2 v / pi).
    """
    variance = torch.zeros(BINS, dtype=torch.float64).index_add(0, bins_of(confidence), confidence * (1 - confidence))
    return float((2 / math.pi * variance).sqrt().sum()) / len(confidence)


def bins_of(confidence: Tensor) -> Tensor:
    """Bin b holds b / 15 < confidence <= (b + 1) / 15."""
    return (confidence * BINS).ceil().long().clamp(1, BINS) - 1


def calibration_error(confidence: Tensor, correct: Tensor) -> float:
    """sum_b |sum of correct - sum of confidence within b| / n, both float64 [n]."""
    gaps = torch.zeros(BINS, dtype=torch.float64).index_add(0, bins_of(confidence), correct - confidence)
    return float(gaps.abs().sum()) / len(correct)
