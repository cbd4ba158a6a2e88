"""Compute metrics: the value, the baseline of real images and the controls, all by the same code."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from genlib.evaluation.baselines import Baseline, statistic
from genlib.evaluation.controls import run_controls
from genlib.evaluation.verdicts import Verdict
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import IMAGE_NEEDS, Metric, check_metric_names, get_metric
from genlib.metrics.result import MetricResult, to_jsonable
from genlib.metrics.stats.significance import p_value


def compute_metrics(
    inputs: MetricInputs, requested: Iterable[str], baselines: Mapping[str, Baseline] | None = None
) -> dict[str, MetricResult]:
    """Each metric's value and, for metrics of images, its baseline (`null`) and its controls. With one of `baselines`
    the null is its mean, and the value has a p-value; else it is the value of one draw of real images."""
    requested = list(requested)
    check_metric_names(requested)
    drawn, found = inputs.with_real_samples(), {}
    for name in requested:
        found[name] = _with_baseline(get_metric(name), inputs, drawn)
        if baselines and name in baselines and found[name].value is not None:
            found[name] = _with_p_value(found[name], get_metric(name), inputs, baselines[name])
    return found


def compute_p_values(inputs: MetricInputs, baselines: Mapping[str, Baseline]) -> dict[str, MetricResult]:
    """The metrics of `baselines` without intervals and controls: what simulations of verdicts need."""
    found = {}
    for name, baseline in baselines.items():
        value, contrast = statistic(get_metric(name), inputs)
        if math.isfinite(contrast):
            p = p_value(contrast, baseline.contrasts, get_metric(name).tail)
            found[name] = MetricResult(value, null=baseline.mean, n=inputs.n, detail={"null": {"p": p}})
    return found


def _with_p_value(result: MetricResult, metric: Metric, inputs: MetricInputs, baseline: Baseline) -> MetricResult:
    low, high = baseline.interval
    _, contrast = statistic(metric, inputs)
    p = p_value(contrast, baseline.contrasts, metric.tail) if math.isfinite(contrast) else None
    facts = {
        "low": low,
        "high": high,
        "draws": len(baseline.values),
        "p": p,
        "ratio": None if not baseline.mean or result.value is None else result.value / baseline.mean,
    }
    return replace(result, null=baseline.mean, detail={**result.detail, "null": {**result.detail["null"], **facts}})


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


def report_to_json(
    results: Mapping[str, MetricResult], verdicts: Iterable[Verdict], card: Mapping[str, Any]
) -> dict[str, Any]:
    """The content of `metrics.json`: results under `metrics`, verdicts under `verdicts`, and the `card`."""
    return {
        "metrics": {name: asdict(result) for name, result in results.items()},
        "verdicts": {verdict.key: to_jsonable(asdict(verdict), "verdict") for verdict in verdicts},
        "card": to_jsonable(card, "card"),
    }
