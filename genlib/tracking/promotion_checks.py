"""Checks before a model becomes the champion: no worse in quality, within the constraints of diversity and copies."""

from collections.abc import Mapping

from genlib.metrics.constraints import build_constraints
from genlib.metrics.differences import compare_results
from genlib.metrics.result import MetricResult

QUALITY_METRICS = ("kid", "frechet")  # lower is better
REQUIRED_METRICS = (QUALITY_METRICS, ("coverage", "support"), ("copies",))  # at least one of each group
DEFAULT_CONSTRAINTS = {"coverage": 0.3, "support": 0.5, "copies": 0.05}  # replaced by those of tune.constraints


def failed_checks(
    results: Mapping[str, MetricResult],
    champion_results: Mapping[str, MetricResult] | None,
    relative_bounds: Mapping[str, float],
) -> list[str]:
    """Why a model may not become the champion, a line for each reason; `relative_bounds`: `tune.constraints`."""
    defined = {name: result for name, result in results.items() if result.value is not None}
    usable = {name: result for name, result in defined.items() if result.failed_control is None}
    reasons = [
        f"{' and '.join(group)}: {_why_unusable(results, group[0])}"
        for group in REQUIRED_METRICS
        if usable.keys().isdisjoint(group)
    ]
    for name in QUALITY_METRICS:
        if name in usable and champion_results is not None:
            reasons += _why_worse(name, usable[name], champion_results.get(name))
    for name, amount in (DEFAULT_CONSTRAINTS | dict(relative_bounds)).items():
        result = usable.get(name)
        if result and result.null is not None and result.value is not None:
            (constraint,) = build_constraints({name: amount}, {name: result.null})
            if constraint.violation({name: result.value}):
                reasons.append(f"{name} {result.value:.3g}: outside its limit, {constraint}")
    return reasons


def _why_unusable(results: Mapping[str, MetricResult], name: str) -> str:
    if name not in results:
        return "not measured"
    return f"not to be known ({results[name].failed_control or results[name].detail.get('reason', 'no value')})"


def _why_worse(name: str, new: MetricResult, old: MetricResult | None) -> list[str]:
    """A reason where the difference from the champion, on the same test images, is to the worse."""
    if old is None:
        return []
    difference = compare_results(name, old, new)
    if difference.outcome != "worse":
        return []
    return [f"{name} {new.value:.4g}: worse than the champion's {old.value:.4g}, difference {difference}"]
