"""Sets drawn class by class: as the class mix of test images is fixed, only the spread within classes counts."""

from torch import Tensor


def centre(x: Tensor, strata: Tensor | None = None) -> Tensor:
    """Rows of x [n, ...] less the mean of all, or of those of their stratum, int64 [n]."""
    if strata is None:
        return x - x.mean(0)
    centred = x.clone()
    for stratum in set(strata.tolist()):
        rows = strata == stratum
        centred[rows] -= x[rows].mean(0)
    return centred


def freedom(x: Tensor, strata: Tensor | None = None) -> int:
    """How many of n centred rows are free: n less the number of strata, at least 1."""
    return max(1, len(x) - (1 if strata is None else len(set(strata.tolist()))))


def variance_of_mean(x: Tensor, strata: Tensor | None = None) -> float:
    """The variance of the mean of x, float64 [n]."""
    return float(centre(x, strata).square().sum()) / (len(x) * freedom(x, strata))
