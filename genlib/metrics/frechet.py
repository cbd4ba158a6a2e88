"""Frechet distance between the Gaussians of generated and of real features."""

from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.bures import frechet_influence, frechet_kernel
from genlib.metrics.stats.intervals import score_interval
from genlib.metrics.stats.partitions import draw_rows
from genlib.metrics.stats.second_order import MAX_ROWS, null_moments
from genlib.metrics.stats.strata import variance_of_mean

NUM_SIZES = 15


def distance_of_inputs(inputs: MetricInputs) -> float:
    x, y = inputs.generated.features.double(), inputs.real.features.double()
    require_more_images_than_features(x)
    return frechet_distance(x, y)


def require_more_images_than_features(x: Tensor) -> None:
    n, d = x.shape
    if n <= d:
        raise UndefinedMetric(f"needs more images than the extractor's {d} features, found {n}")


@metric(
    question=("Realistic?", 5),
    better="lower",
    min_images=40,
    must_detect={"stored": "higher", "collapse": "higher", "noise": "higher", "blurred": "higher"},
    in_verdict=True,
    statistic=distance_of_inputs,
    bounds=(0, float("inf")),
)
def frechet(inputs: MetricInputs) -> MetricResult:
    """||mu1 - mu2||^2 + Tr(S1 + S2 - 2 (S1 S2)^{1/2}) of the features (Heusel et al. 2017); lower is better."""
    x, y = inputs.generated.features.double(), inputs.real.features.double()
    n, d = x.shape
    require_more_images_than_features(x)
    value, mean = frechet_distance(x, y), float((x.mean(0) - y.mean(0)).square().sum())
    detail = {"features": d, "mean": mean, "covariance": value - mean, "infinite": extrapolate_to_infinity(x, y)}
    if inputs.generated.labels is not None:
        detail["by_class"] = frechet_by_class(inputs)
    low, high, detail["second_order"] = frechet_interval(value, x, y, inputs.real.labels)
    return MetricResult(value, max(0.0, low), high, n=n, detail=detail)


def frechet_interval(value: float, x: Tensor, y: Tensor, strata: Tensor | None) -> tuple[float, float, float]:
    """Of the distance of x and y, float64 [n, d], at this n; the class mix of y stays, where it has classes. Third: the
    second-order variance of its difference from another's with the same y."""
    n = len(x)
    of_x, of_y = frechet_influence(x, y)
    plug_in = variance_of_mean(of_x) + variance_of_mean(of_y, strata)
    a, b = x - x.mean(0), y - y.mean(0)
    i, j = draw_rows(x, MAX_ROWS), draw_rows(y, MAX_ROWS)
    kernel = frechet_kernel(a[i], b[j], (a.T @ a + b.T @ b) / (2 * n - 2))
    null = null_moments(*kernel, n, None if strata is None else strata[j])
    return *score_interval(value, null.mean, null.variance, plug_in), null.unshared


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Of x, y float64 [n, d]. With S = F F^T, Tr (S1 S2)^{1/2} is the sum of the singular values of F1^T F2."""
    (s, f), (t, g) = _covariance_and_factor(x), _covariance_and_factor(y)
    cross = torch.linalg.svdvals(f.T @ g).sum()
    return max(0.0, float((x.mean(0) - y.mean(0)).square().sum() + s.trace() + t.trace() - 2 * cross))


def _covariance_and_factor(x: Tensor) -> tuple[Tensor, Tensor]:
    """S [d, d] of x [n, d], by numpy, which computes half of it, and F with S = F F^T: Cholesky's, or by
    eigenvectors."""
    covariance = torch.from_numpy(np.atleast_2d(np.cov(x.numpy(force=True), rowvar=False))).to(x.device)
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        values, vectors = torch.linalg.eigh(covariance)
        factor = vectors * values.clamp(min=0).sqrt()
    return covariance, factor


def extrapolate_to_infinity(x: Tensor, y: Tensor) -> dict[str, Any]:
    """The intercept at 1/m = 0 of the distances of m images (Chong and Forsyth 2020): m from n / 10, but at least four
    times the number of features, to n; each the mean over disjoint subsets."""
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
    """The distance between images asked for a class and test images of it, and the mean over classes."""
    generated, real = inputs.generated, inputs.real
    if generated.labels is None or real.labels is None:
        return {"reason": "the test images have no labels"}
    values, d = {}, generated.features.shape[1]
    for c in sorted(set(real.labels.tolist())):
        x, y = (images.features[images.labels == c].double() for images in (generated, real))
        if (few := min(len(x), len(y))) <= d:
            needed = f"needs more images of a class than the extractor's {d} features"
            return {"reason": f"{needed}, found {few} of class {c}"}
        values[c] = frechet_distance(x, y)
    return {"mean": fmean(values.values()), "values": values}
