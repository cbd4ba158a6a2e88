"""Inception score: confidence per image times variety over all."""

import math
from statistics import fmean

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric, shortfall
from genlib.metrics.stats.intervals import group_slices
from genlib.metrics.stats.partitions import random_parts, variance_between

NUM_SPLITS = 10
NUM_RESPLITS = 20  # ways to split for the interval


def class_probabilities(inputs: MetricInputs) -> Tensor:
    if not inputs.has_class_names:
        raise UndefinedMetric("the extractor knows no classes")
    return inputs.generated.probabilities.double()


@metric(
    question=("Realistic?", 4),
    min_images=100,
    must_detect={"noise": "lower", "blurred": "lower"},
    in_verdict=True,
    fault_share=shortfall,
    reference="none",
    statistic=lambda inputs: mean_split_score(class_probabilities(inputs)),
    bounds=(1, float("inf")),
)
def inception_score(inputs: MetricInputs) -> MetricResult:
    """exp E_x KL(p(y|x) || p(y)), the mean of 10 splits (Salimans et al. 2016), from 1 to the number of classes"""
    p = class_probabilities(inputs)
    value, variance = mean_split_score(p), variance_between(random_split_scores(p)) / NUM_SPLITS
    variety, confidence = _variety_and_confidence(p)
    whole = variety * confidence
    parts = {"whole": whole, "log": math.log(whole), "variety": variety, "confidence": confidence}
    return MetricResult.of_variance(value, variance, n=len(p), at_least=1.0, splits=NUM_SPLITS, **parts)


def mean_split_score(p: Tensor) -> float:
    """Of p(y|x), float64 [n, K], split as the images stand."""
    return fmean(math.prod(_variety_and_confidence(p[part])) for part in group_slices(len(p), NUM_SPLITS))


def random_split_scores(p: Tensor) -> Tensor:
    """Scores float64 [20, 10] of 20 random ways to split the images in ten."""
    confidence = torch.special.entr(p).sum(1)
    parts = random_parts(p, NUM_SPLITS, NUM_RESPLITS)
    return torch.stack(
        [(torch.special.entr(p[rows].mean(1)).sum(1) - confidence[rows].mean(1)).exp() for rows in parts]
    )


def _variety_and_confidence(p: Tensor) -> tuple[float, float]:
    entropy = torch.special.entr
    return float(entropy(p.mean(0)).sum().exp()), float(entropy(p).sum(1).mean().neg().exp())
