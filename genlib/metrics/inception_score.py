"""Inception score: confidence per image times variety over all."""

import math
from statistics import fmean

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric, shortfall
from genlib.metrics.stats.intervals import group_slices, mean_interval

NUM_SPLITS = 10


def mean_over_splits(inputs: MetricInputs) -> float:
    return fmean(split_scores(inputs))


def split_scores(inputs: MetricInputs) -> list[float]:
    if not inputs.has_class_names:
        raise UndefinedMetric("the extractor knows no classes")
    p = inputs.generated.probabilities.double()
    return [math.prod(_variety_and_confidence(p[part])) for part in group_slices(len(p), NUM_SPLITS)]


@metric(
    question=("Realistic?", 4),
    min_images=100,
    must_detect={"noise": "lower", "blurred": "lower"},
    verdict=("distribution", shortfall),
    reference="none",
    statistic=mean_over_splits,
)
def inception_score(inputs: MetricInputs) -> MetricResult:
    """exp E_x KL(p(y|x) || p(y)), the mean of 10 splits (Salimans et al. 2016), from 1 to the number of classes"""
    scores, p = split_scores(inputs), inputs.generated.probabilities.double()
    variety, confidence = _variety_and_confidence(p)
    whole = variety * confidence
    parts = {"whole": whole, "log": math.log(whole), "variety": variety, "confidence": confidence}
    return MetricResult(fmean(scores), *mean_interval(scores), n=len(p), detail={"splits": NUM_SPLITS, **parts})


def _variety_and_confidence(p: Tensor) -> tuple[float, float]:
    entropy = torch.special.entr
    return float(entropy(p.mean(0)).sum().exp()), float(entropy(p).sum(1).mean().neg().exp())
