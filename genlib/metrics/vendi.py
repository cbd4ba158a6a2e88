"""Vendi score: the effective number of different images."""

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric, share_below_baseline
from genlib.metrics.stats.groups import jackknife_of


@metric(
    summary="exp(-sum_i l_i log l_i), l the eigenvalues of the matrix of cosines of the features over n "
    "(Friedman and Dieng 2023): the effective number of directions, from 1 to the number of features.",
    question=("All alike?", 2),
    min_images=40,
    must_detect={"collapse": "lower"},
    verdict=("support_size", share_below_baseline),
)
def vendi(inputs: MetricInputs) -> MetricResult:
    """It uses no real images, so read it against the baseline. Blind to sameness within a class that fills as many
    directions as the class does. Interval: delete-group jackknife."""
    x = inputs.generated.features.double()
    lengths = x.norm(dim=1, keepdim=True)
    if not lengths.all():
        raise UndefinedMetric(f"{int((lengths == 0).sum())} images have features of length 0")
    value, low, high = jackknife_of(effective_number, x / lengths)
    return MetricResult(value, max(1.0, low), high, n=len(x), detail={"features": x.shape[1]})


def effective_number(x: Tensor) -> float:
    """exp of the entropy of the eigenvalues of x x' / n, which are those of x' x / n and zeros; rows of length 1."""
    n, d = x.shape
    values = torch.linalg.eigvalsh((x.T @ x if d < n else x @ x.T) / n)
    return float(torch.special.entr(values.clamp(min=0)).sum().exp())
