"""Does each image look like one class, and all together like many?"""

from __future__ import annotations

import math
from statistics import fmean

import torch
from torch import Tensor

from genlib.metrics.inputs import Evidence
from genlib.metrics.registry import metric
from genlib.metrics.result import Measure, Undefined
from genlib.metrics.stats.intervals import group_slices, of_mean

SPLITS = 10


@metric(minimum=100, catches={"noise": "lower"})
def inception_score(evidence: Evidence) -> Measure:
    """exp E_x KL(p(y|x) || p(y)), the mean of 10 splits (Salimans et al. 2016); from 1 to the number of classes.

    Interval: t over the splits. `detail.whole` is the score of all images at once (`log`: the mutual information of
    image and class, in nats), which factors exactly into variety = exp H(p(y)), the effective number of classes, times
    confidence = exp(-E_x H(p(y|x))), at most 1 (Barratt and Sharma 2018). It sees neither copies nor sameness within a
    class, and images made to please the judge please it.
    """
    if not evidence.named:
        raise Undefined("the judge knows no classes")
    p = evidence.made.probabilities.double()
    scores = [_score(p[part]) for part in group_slices(len(p), SPLITS)]
    low, high = of_mean(scores)
    whole = {"whole": _score(p), "log": math.log(_score(p)), "variety": _variety(p), "confidence": _confidence(p)}
    detail = {"splits": SPLITS, **whole}
    return Measure(fmean(scores), low, high, n=len(p), detail=detail)


def _score(p: Tensor) -> float:
    return _variety(p) * _confidence(p)


def _variety(p: Tensor) -> float:
    return float(torch.special.entr(p.mean(0)).sum().exp())


def _confidence(p: Tensor) -> float:
    return float(torch.special.entr(p).sum(1).mean().neg().exp())
