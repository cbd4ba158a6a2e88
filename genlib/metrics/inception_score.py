"""Does each image look like one class, and all together like many?"""

from __future__ import annotations

import math
from statistics import fmean

import torch
from torch import Tensor

from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.intervals import group_slices, mean_interval

NUM_SPLITS = 10


@metric(min_images=100, must_detect={"noise": "lower"})
def inception_score(inputs: MetricInputs) -> MetricResult:
    """exp E_x KL(p(y|x) || p(y)), the mean of 10 splits (Salimans et al. 2016); from 1 to the number of classes.

    Interval: t over the splits. `detail.whole` is the score of all images at once (`log`: the mutual information of
    image and class, in nats), which factors exactly into variety = exp H(p(y)), the effective number of classes, times
    confidence = exp(-E_x H(p(y|x))), at most 1 (Barratt and Sharma 2018). It sees neither copies nor sameness within a
    class, and images made to please the judge please it.
    """
    if not inputs.has_class_names:
        raise UndefinedMetric("the judge knows no classes")
    p = inputs.generated.probabilities.double()
    scores = [_score(p[part]) for part in group_slices(len(p), NUM_SPLITS)]
    low, high = mean_interval(scores)
    whole = {"whole": _score(p), "log": math.log(_score(p)), "variety": _variety(p), "confidence": _confidence(p)}
    detail = {"splits": NUM_SPLITS, **whole}
    return MetricResult(fmean(scores), low, high, n=len(p), detail=detail)


def _score(p: Tensor) -> float:
    return _variety(p) * _confidence(p)


def _variety(p: Tensor) -> float:
    return float(torch.special.entr(p.mean(0)).sum().exp())


def _confidence(p: Tensor) -> float:
    return float(torch.special.entr(p).sum(1).mean().neg().exp())
