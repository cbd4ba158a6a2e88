"""Frechet distance between the Gaussians of generated and of real features."""

from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.bures import frechet_influence, frechet_kernel, pool_covariances, squared_distance
from genlib.metrics.stats.gaussian import Gaussian
from genlib.metrics.stats.intervals import score_interval
from genlib.metrics.stats.partitions import draw_rows
from genlib.metrics.stats.second_order import MAX_ROWS, NullMoments, null_moments, null_moments_of_one
from genlib.metrics.stats.strata import variance_of_mean

NUM_SIZES = 15


def distance_of_inputs(inputs: MetricInputs) -> float:
    x, y = inputs.generated.features, inputs.real.features
    n, d = x.shape
    if n <= d:
        raise UndefinedMetric(f"needs more images than the extractor's {d} features, found {n}")
    return frechet_distance(x, y)


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
    x, y = inputs.generated.features, inputs.real.features
    result = compare_gaussians(Gaussian.of_rows(x), Gaussian.of_rows(y), inputs.real.labels)
    detail = {"infinite": extrapolate_to_infinity(x, y)}
    if inputs.generated.labels is not None:
        detail["by_class"] = frechet_by_class(inputs)
    return replace(result, detail=result.detail | detail)


def compare_gaussians(x: Gaussian, y: Gaussian, strata: Tensor | None = None) -> MetricResult:
    """The distance and its interval at these numbers of images, where they exceed the number of features; a side whose
    statistics alone are known counts as exact. The class mix of y stays, where it has classes, int64 [n]."""
    d, sizes = len(x.mean), [each.n for each in (x, y) if each.n]
    value, mean = squared_distance(x, y), float((x.mean - y.mean).square().sum())
    detail = {"features": d, "mean": mean, "covariance": value - mean}
    n = min(sizes, default=0)
    if not sizes:
        return MetricResult(value, detail=detail)
    if n <= d:
        note = f"{n} images are too few for {d} features: the value is far too high, and has no interval"
        return MetricResult(value, n=n, detail=detail | {"note": note})
    low, high, detail["second_order"] = frechet_interval(value, x, y, strata)
    return MetricResult(value, max(0.0, low), high, n=n, detail=detail)


def frechet_interval(value: float, x: Gaussian, y: Gaussian, strata: Tensor | None) -> tuple[float, float, float]:
    """Third: the second-order variance of its difference from another's with the same y."""
    of_x, of_y = frechet_influence(x, y)
    plug_in = sum(variance_of_mean(of, own) for of, own in ((of_x, None), (of_y, strata)) if len(of))
    null = _null_moments(x, y, strata)
    return *score_interval(value, null.mean, null.variance, plug_in), null.unshared


def _null_moments(x: Gaussian, y: Gaussian, strata: Tensor | None) -> NullMoments:
    known = [each for each in (x, y) if each.n]
    drawn = [draw_rows(each.rows, MAX_ROWS) for each in known if each.rows is not None]
    a, *others = (each.draw_centred(rows) for each, rows in zip(known, drawn, strict=True))
    kernel = frechet_kernel(a, others[0] if others else a, pool_covariances(x, y))
    if not others:
        return null_moments_of_one(kernel[0], known[0].n)
    return null_moments(*kernel, x.n, None if strata is None else strata[drawn[1]], y.n)


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Of rows x, y [n, d]."""
    return squared_distance(Gaussian.of_rows(x), Gaussian.of_rows(y))


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
        x, y = (images.features[images.labels == c] for images in (generated, real))
        if (few := min(len(x), len(y))) <= d:
            needed = f"needs more images of a class than the extractor's {d} features"
            return {"reason": f"{needed}, found {few} of class {c}"}
        values[c] = frechet_distance(x, y)
    return {"mean": fmean(values.values()), "values": values}
