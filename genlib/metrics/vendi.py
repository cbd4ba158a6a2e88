"""Vendi score: the effective number of different images."""

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric, shortfall
from genlib.metrics.stats.groups import jackknife_values


def directions(inputs: MetricInputs) -> Tensor:
    """The features, float64 [n, d], of length 1."""
    x = inputs.generated.features.double()
    lengths = x.norm(dim=1, keepdim=True)
    if not lengths.all():
        raise UndefinedMetric(f"{int((lengths == 0).sum())} images have features of length 0")
    return x / lengths  # type: ignore[no-any-return]


@metric(
    question=("Diverse?", 2),
    min_images=40,
    must_detect={"collapse": "lower"},
    verdict=("support_size", shortfall),
    reference="none",
    statistic=lambda inputs: effective_number(directions(inputs)),
)
def vendi(inputs: MetricInputs) -> MetricResult:
    """exp(-sum_i l_i log l_i), l the eigenvalues of the matrix of cosines of the features over n (Friedman and Dieng
    2023): the effective number of directions, from 1 to the number of features."""
    x = directions(inputs)
    values = jackknife_values(effective_number, x)
    return MetricResult.of_jackknife(values, n=len(x), at_least=1.0, features=x.shape[1])


def effective_number(x: Tensor) -> float:
    """exp of the entropy of the eigenvalues of x x' / n, which are those of x' x / n and zeros; rows of length 1."""
    n, d = x.shape
    values = torch.linalg.eigvalsh((x.T @ x if d < n else x @ x.T) / n)
    return float(torch.special.entr(values.clamp(min=0)).sum().exp())
