"""Calibration of a classifier: is a prediction of confidence c right with probability c?"""

import math

import torch
from torch import Tensor

NUM_BINS = 15


def assign_bins(confidence: Tensor) -> Tensor:
    """Bin b holds b / 15 < confidence <= (b + 1) / 15."""
    return (confidence * NUM_BINS).ceil().long().clamp(1, NUM_BINS) - 1


def _sum_by_bin(confidence: Tensor, values: Tensor) -> Tensor:
    return torch.zeros(NUM_BINS, dtype=torch.float64).index_add(0, assign_bins(confidence), values)


def calibration_error(confidence: Tensor, correct: Tensor) -> float:
    """sum_b |sum of correct - sum of confidence within b| / n, both float64 [n]."""
    return float(_sum_by_bin(confidence, correct - confidence).abs().sum()) / len(correct)


def calibration_influence(confidence: Tensor, correct: Tensor) -> Tensor:
    """Of each image on `calibration_error`: correct - confidence, with the sign of that sum in its bin; float64 [n]."""
    gaps = correct - confidence
    return gaps * _sum_by_bin(confidence, gaps).sign()[assign_bins(confidence)]


def expected_error(confidence: Tensor) -> float:
    """About the error of n images, each right with the probability c of its confidence: the number right in a bin has
    the variance v = sum c (1 - c), and E|N(0, v)| = sqrt(2 v / pi)."""
    variance = _sum_by_bin(confidence, confidence * (1 - confidence))
    return float((2 / math.pi * variance).sqrt().sum()) / len(confidence)


def reliability_bins(confidence: Tensor, correct: Tensor) -> list[dict[str, float]]:
    """Of each bin that holds images: its upper end, how many, their accuracy and their mean confidence."""
    bins, found = assign_bins(confidence), []
    for b in sorted(set(bins.tolist())):
        members = bins == b
        means = {"accuracy": float(correct[members].mean()), "confidence": float(confidence[members].mean())}
        found.append({"up_to": (b + 1) / NUM_BINS, "n": int(members.sum()), **means})
    return found


def confusion_matrix(labels: Tensor, classes: Tensor, num_classes: int) -> list[list[int]]:
    """How many images of each label (a row) are given each class (a column), both int64 [n]."""
    return torch.bincount(labels * num_classes + classes, minlength=num_classes**2).view(num_classes, -1).tolist()
