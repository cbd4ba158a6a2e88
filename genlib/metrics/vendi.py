"""Vendi score: the effective number of different images."""

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric, shortfall
from genlib.metrics.stats.strata import variance_of_mean

MIN_EIGENVALUE = 1e-12  # whose logarithm is taken


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
    in_verdict=True,
    fault_share=shortfall,
    reference="none",
    statistic=lambda inputs: effective_number(directions(inputs)),
    bounds=(1, float("inf")),
)
def vendi(inputs: MetricInputs) -> MetricResult:
    """exp(-sum_i l_i log l_i), l the eigenvalues of the matrix of cosines of the features over n (Friedman and Dieng
    2023): the effective number of directions, from 1 to the number of features."""
    x = directions(inputs)
    variance = variance_of_mean(vendi_influence(x))
    return MetricResult.of_variance(effective_number(x), variance, n=len(x), at_least=1.0, features=x.shape[1])


def effective_number(x: Tensor) -> float:
    """exp of the entropy of the eigenvalues of x x' / n, which are those of x' x / n and zeros; rows of length 1."""
    n, d = x.shape
    values = torch.linalg.eigvalsh((x.T @ x if d < n else x @ x.T) / n)
    return float(torch.special.entr(values.clamp(min=0)).sum().exp())


def vendi_influence(x: Tensor) -> Tensor:
    """Of each row on the effective number V, but for a constant: -V sum_k log(l_k) (v_k.x)^2, v_k the eigenvectors."""
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    score: Tensor = torch.special.entr(values.clamp(min=0)).sum().exp()
    influence: Tensor = (x @ vectors).square() @ values.clamp(min=MIN_EIGENVALUE).log()
    return -score * influence
