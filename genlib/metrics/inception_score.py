"""Inception score: confidence per image times variety over all."""

import math
from statistics import fmean

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric, share_below_baseline
from genlib.metrics.stats.intervals import group_slices, mean_interval

NUM_SPLITS = 10


@metric(
    summary="exp E_x KL(p(y|x) || p(y)), the mean of 10 splits (Salimans et al. 2016), from 1 to the number of classes",
    question=("Real-looking?", 4),
    min_images=100,
    must_detect={"noise": "lower"},
    verdict=("distribution", share_below_baseline),
)
def inception_score(inputs: MetricInputs) -> MetricResult:
    """`detail.whole`, of all images at once, is variety = exp H(p(y)), the effective number of classes, times
    confidence = exp(-E_x H(p(y|x))) (Barratt and Sharma 2018). Blind to copies and to sameness within a class.
    Interval: t over the splits."""
    if not inputs.has_class_names:
        raise UndefinedMetric("the extractor knows no classes")
    p = inputs.generated.probabilities.double()
    scores = [_score(p[part]) for part in group_slices(len(p), NUM_SPLITS)]
    whole = {"whole": _score(p), "log": math.log(_score(p)), "variety": _variety(p), "confidence": _confidence(p)}
    return MetricResult(fmean(scores), *mean_interval(scores), n=len(p), detail={"splits": NUM_SPLITS, **whole})


def _score(p: Tensor) -> float:
    return _variety(p) * _confidence(p)


def _variety(p: Tensor) -> float:
    return float(torch.special.entr(p.mean(0)).sum().exp())


def _confidence(p: Tensor) -> float:
    return float(torch.special.entr(p).sum(1).mean().neg().exp())
