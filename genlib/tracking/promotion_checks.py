"""May a model take the champion's place? Not worse in quality, and no dearer than the limits in variety and copies."""

from __future__ import annotations

from collections.abc import Mapping

from genlib.metrics.constraints import build_constraints
from genlib.metrics.result import MetricResult

QUALITY_METRICS = ("kid", "frechet")  # of both less is better
DIVERSITY_METRICS = ("coverage", "support")
COPY_METRICS = ("copies",)
DEFAULT_CONSTRAINTS = {"coverage": 0.3, "support": 0.5, "copies": 0.05}  # where tune.constraints says nothing of them


def failed_checks(
    results: Mapping[str, MetricResult],
    champion_results: Mapping[str, MetricResult] | None,
    relative_bounds: Mapping[str, float],
) -> list[str]:
    """Why a model may not, one reason each; none where it may. `asked`: `tune.constraints`, by which LIMITS are replaced."""
    quality = [name for name in QUALITY_METRICS if _is_usable(results, name)]
    found = [] if quality else [f"{' and '.join(QUALITY_METRICS)}: {_why_unusable(results, QUALITY_METRICS[0])}"]
    if champion_results is not None:
        found += [reason for name in quality if (reason := _why_worse(name, results[name], champion_results.get(name)))]
    for group in (DIVERSITY_METRICS, COPY_METRICS):
        told = [name for name in group if _is_usable(results, name)]
        if not told:
            found.append(f"{' and '.join(group)}: {_why_unusable(results, group[0])}")
    for name, amount in (DEFAULT_CONSTRAINTS | dict(relative_bounds)).items():
        if not _is_usable(results, name):
            continue
        measure = results[name]
        if measure.null is None or measure.value is None:
            continue
        (limit,) = build_constraints({name: amount}, {name: measure.null})
        if limit.violation({name: measure.value}):
            found.append(f"{name} {measure.value:.3g}: outside its limit, {limit}")
    return found


def _is_usable(results: Mapping[str, MetricResult], name: str) -> bool:
    return name in results and results[name].value is not None and results[name].failed_control is None


def _why_unusable(results: Mapping[str, MetricResult], name: str) -> str:
    if name not in results:
        return "not measured"
    return f"not to be known ({results[name].failed_control or results[name].detail.get('reason', 'no value')})"


def _why_worse(name: str, new: MetricResult, old: MetricResult | None) -> str | None:
    """Where the whole interval lies beyond the champion's."""
    if old is None or old.value is None or new.value is None:
        return None
    low, high = new.value if new.low is None else new.low, old.value if old.high is None else old.high
    if low <= high:
        return None
    return f"{name} {new.value:.4g}, at least {low:.4g}: worse than the champion's {old.value:.4g}, at most {high:.4g}"
