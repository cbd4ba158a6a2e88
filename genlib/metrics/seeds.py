"""A metric over training seeds: the median, with an interval of two levels, the seeds and the images."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from genlib.metrics.differences import format_halves, half_size, halves_of
from genlib.metrics.registry import Metric, get_metric, split_direction
from genlib.metrics.result import MetricResult
from genlib.metrics.stats.intervals import Z
from genlib.metrics.stats.two_level import Part, add_parts, between_seeds, image_parts


def median_over_seeds(runs: Sequence[Mapping[str, MetricResult]]) -> dict[str, MetricResult]:
    """Of each metric that all runs of one model have; a single run stays as it is."""
    if len(runs) == 1:
        return dict(runs[0])
    names = [name for name in runs[0] if all(name in run for run in runs)]
    return {name: _median_of_defined(name, [run[name] for run in runs]) for name in names}


def _median_of_defined(name: str, results: Sequence[MetricResult]) -> MetricResult:
    """Of the seeds with a value; none is given for fewer than two, of which there is no spread."""
    defined = [result for result in results if result.value is not None]
    if len(defined) > 1:
        metric = get_metric(split_direction(name)[0])
        found, (least, most) = _median(metric, defined), metric.bounds
        low, high = found.bounds
        return replace(found, low=max(least, low), high=min(most, high))
    reason = f"it has a value for {len(defined)} of {len(results)} seeds, and needs two"
    return MetricResult(null=results[0].null, n=results[0].n, detail={"reason": reason})


def _median(metric: Metric, results: Sequence[MetricResult]) -> MetricResult:
    """By Student's t of the variance c_k S^2 / k of the seeds and R of the images that they share."""
    values = [float(result.value or 0.0) for result in results]
    between, (generated, images) = between_seeds(values), _parts_of_images(metric, results)
    total = add_parts([between, images])
    low, high = total.interval(median(values))
    nulls = [result.null for result in results if result.null is not None]
    detail: dict[str, Any] = {key: results[0].detail[key] for key in ("null", "controls") if key in results[0].detail}
    if p_values := [result.p for result in results if result.p is not None]:
        detail["null"] = {**detail["null"], "p": median(p_values)}
    detail["seeds"] = {
        "count": len(values),
        "values": values,
        "range": [min(values), max(values)],
        "between": between.variance,
        "images": images.variance,
        "generated": generated,
        "freedom": min(total.freedom, float(len(values) * 1000)),
    }
    if _have_same_halves(results):
        mean = torch.stack([halves_of(result) for result in results]).mean(0)
        detail["halves"] = {**results[0].detail["halves"], "values": format_halves(mean)}
    return MetricResult(median(values), low, high, median(nulls) if nulls else None, results[0].n, detail)


def _have_same_halves(results: Sequence[MetricResult]) -> bool:
    digests = {result.detail.get("halves", {}).get("test") for result in results}
    return len(digests) == 1 and None not in digests


def _parts_of_images(metric: Metric, results: Sequence[MetricResult]) -> tuple[float, Part]:
    """G / k and R: none where the test images do not enter. Without values on halves R counts as the widest interval of
    one seed, which is the most that it can be."""
    if metric.reference != "test":
        return 0.0, Part(0.0, math.inf)
    if _have_same_halves(results):
        scale = half_size(results[0])
        halves = torch.stack([halves_of(result) for result in results])
        generated, shared = image_parts(halves)
        return generated * scale, Part(shared * scale, halves.shape[1])
    widest = max(high - low for low, high in (result.bounds for result in results))
    return 0.0, Part((widest / 2 / Z) ** 2, math.inf)
