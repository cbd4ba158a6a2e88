"""Compute metrics: the value, the baseline of real images and the controls, all by the same code."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from genlib.evaluation.controls import run_controls
from genlib.evaluation.verdicts import compute_verdicts
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import IMAGE_NEEDS, Metric, check_metric_names, get_metric
from genlib.metrics.result import MetricResult, to_jsonable


def compute_metrics(inputs: MetricInputs, requested: Iterable[str]) -> dict[str, MetricResult]:
    """Each metric's value and, for metrics of images, its baseline (`null`) and its controls."""
    requested = list(requested)
    check_metric_names(requested)
    baseline_inputs = inputs.with_real_samples()
    return {name: _with_baseline(get_metric(name), inputs, baseline_inputs) for name in requested}


def _with_baseline(metric: Metric, inputs: MetricInputs, baseline_inputs: MetricInputs) -> MetricResult:
    found = metric(inputs)
    if metric.needs not in IMAGE_NEEDS:
        by_chance = metric.needs in ("ratings", "pair_ratings")
        reason = {"reason": "chance is 0.5" if by_chance else "real images cannot take a model's place"}
        return replace(found, detail={"null": reason, **found.detail})
    real = metric(baseline_inputs)
    ratio = math.nan if found.value is None or not real.value else found.value / real.value
    ends = {"low": real.low, "high": real.high, "ratio": ratio if math.isfinite(ratio) else None}
    controls = run_controls(metric, inputs, metric.must_detect)
    detail = {**found.detail, "null": {**ends, **real.detail}, "controls": controls}
    return replace(found, null=real.value, detail=detail)


def report_to_json(results: Mapping[str, MetricResult], card: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `metrics.json`: results under `metrics`, verdicts under `verdicts`, and the `card`."""
    return {
        "metrics": {name: asdict(result) for name, result in results.items()},
        "verdicts": {verdict.key: asdict(verdict) for verdict in compute_verdicts(results)},
        "card": to_jsonable(card, "card"),
    }
