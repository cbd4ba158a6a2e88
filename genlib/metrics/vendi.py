"""How many wholly different images would be as various? The Vendi score."""

from __future__ import annotations

import torch
from torch import Tensor

from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.intervals import group_slices, jackknife


@metric(min_images=40, must_detect={"collapse": "lower"})
def vendi(inputs: MetricInputs) -> MetricResult:
    """exp(-sum_i l_i log l_i), l the eigenvalues of the matrix of cosines of the judge's features over n (Friedman and
    Dieng 2023): the effective number of directions, from 1 to the number of features.

    Interval: delete-group jackknife. It needs no real images, so it is read against the null; it does not see sameness
    within a class that fills as many directions as the class does.
    """
    x = inputs.generated.features.double()
    lengths = x.norm(dim=1, keepdim=True)
    if not lengths.all():
        raise UndefinedMetric(f"{int((lengths == 0).sum())} images have features of length 0, which point nowhere")
    x = x / lengths
    value = effective_number(x)
    without = [effective_number(torch.cat([x[: g.start], x[g.stop :]])) for g in group_slices(len(x))]
    low, high = jackknife(value, without)
    return MetricResult(value, max(1.0, low), high, n=len(x), detail={"features": x.shape[1]})


def effective_number(x: Tensor) -> float:
    """exp of the entropy of the eigenvalues of x x' / n, which are those of x' x / n and zeros; rows of length 1."""
    n, d = x.shape
    values = torch.linalg.eigvalsh((x.T @ x if d < n else x @ x.T) / n)
    return float(torch.special.entr(values.clamp(min=0)).sum().exp())
