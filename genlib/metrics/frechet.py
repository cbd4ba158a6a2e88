"""Frechet distance between the Gaussians of generated and of real features."""

from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.groups import jackknife_of

NUM_SIZES = 15


@metric(
    summary="||mu1 - mu2||^2 + Tr(S1 + S2 - 2 (S1 S2)^{1/2}) of the features (Heusel et al. 2017); lower is better.",
    question=("Real-looking?", 5),
    better="lower",
    min_images=40,
    must_detect={"stored": "higher", "collapse": "higher", "noise": "higher"},
    verdict=("distribution", None),
)
def frechet(inputs: MetricInputs) -> MetricResult:
    """S with divisor n - 1. Biased upwards by O(1/n): compare at equal n; `detail.infinite` extrapolates to infinitely
    many images. Blind to all but two moments. Interval: delete-group jackknife over both sets."""
    x, y = inputs.generated.features.double(), inputs.real.features.double()
    n, d = x.shape
    if n <= d:
        raise UndefinedMetric(f"needs more images than the extractor's {d} features, found {n}")
    value, low, high = jackknife_of(frechet_distance, x, y)
    mean = float((x.mean(0) - y.mean(0)).square().sum())
    detail = {"features": d, "mean": mean, "covariance": value - mean, "infinite": extrapolate_to_infinity(x, y)}
    if inputs.generated.labels is not None:
        detail["by_class"] = frechet_by_class(inputs)
    return MetricResult(value, max(0.0, low), high, n=n, detail=detail)


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Between Gaussians of the moments of x and y, float64 [n, d].

    With S = F F^T, Tr (S1 S2)^{1/2} is the sum of the singular values of F1^T F2.
    """
    s, t = _covariance(x), _covariance(y)
    cross = torch.linalg.svdvals(_matrix_factor(s).T @ _matrix_factor(t)).sum()
    return max(0.0, float((x.mean(0) - y.mean(0)).square().sum() + s.trace() + t.trace() - 2 * cross))


def _covariance(x: Tensor) -> Tensor:
    """[d, d] of x [n, d], by numpy, which computes only half of a symmetric product."""
    import numpy as np

    return torch.from_numpy(np.atleast_2d(np.cov(x.numpy(force=True), rowvar=False))).to(x.device)


def _matrix_factor(covariance: Tensor) -> Tensor:
    """F with S = F F^T: Cholesky's, or that of the eigenvectors where S has no full rank."""
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        values, vectors = torch.linalg.eigh(covariance)
        factor = vectors * values.clamp(min=0).sqrt()
    return factor


def extrapolate_to_infinity(x: Tensor, y: Tensor) -> dict[str, Any]:
    """The distance of infinitely many images: the intercept at 1/m = 0 of the distances of m (Chong and Forsyth 2020).

    m: 15 sizes from n / 10, but at least four times the number of features, to n; at each, the mean over disjoint
    subsets. Rows are in random order, test images so that each subset has the class mix of all.
    """
    n, d = x.shape
    least = max(n // 10, 4 * d)
    if n < 2 * least:
        return {"reason": f"needs {8 * d} images, eight times the extractor's {d} features, found {n}"}
    sizes = torch.linspace(least, n, NUM_SIZES, dtype=torch.float64).long()
    distances = torch.tensor([_mean_subset_distance(x, y, m) for m in sizes.tolist()], dtype=torch.float64)
    inverse = 1 / sizes.double()
    centred = inverse - inverse.mean()
    slope = (centred @ distances) / centred.square().sum()
    return {"value": distances.mean() - slope * inverse.mean(), "least": least}


def _mean_subset_distance(x: Tensor, y: Tensor, m: int) -> float:
    return fmean(frechet_distance(x[start : start + m], y[start : start + m]) for start in range(0, len(x) - m + 1, m))


def frechet_by_class(inputs: MetricInputs) -> dict[str, Any]:
    """The distance between images asked for a class and test images of it, of each class, and the mean of these."""
    generated, real = inputs.generated, inputs.real
    if generated.labels is None or real.labels is None:
        return {"reason": "the test images have no labels"}
    values, d = {}, generated.features.shape[1]
    for c in sorted(set(real.labels.tolist())):
        x, y = (images.features[images.labels == c].double() for images in (generated, real))
        if (few := min(len(x), len(y))) <= d:
            return {
                "reason": f"needs more images of a class than the extractor's {d} features, found {few} of class {c}"
            }
        values[c] = frechet_distance(x, y)
    return {"mean": fmean(values.values()), "values": values}
