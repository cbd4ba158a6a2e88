"""May a model take the champion's place? Not worse in quality, and no dearer than the limits in variety and copies."""

from __future__ import annotations

from collections.abc import Mapping

from genlib.metrics.constraints import limits
from genlib.metrics.result import Measure

QUALITY = ("kid", "frechet")  # of both less is better
ALIKE = ("coverage", "support")
COPIED = ("copies",)
LIMITS = {"coverage": 0.3, "support": 0.5, "copies": 0.05}  # where tune.limits says nothing of them


def faults(
    measures: Mapping[str, Measure], champion: Mapping[str, Measure] | None, asked: Mapping[str, float]
) -> list[str]:
    """Why a model may not, one reason each; none where it may. `asked`: `tune.limits`, by which LIMITS are replaced."""
    quality = [name for name in QUALITY if _known(measures, name)]
    found = [] if quality else [f"{' and '.join(QUALITY)}: {_silent(measures, QUALITY[0])}"]
    if champion is not None:
        found += [reason for name in quality if (reason := _worse(name, measures[name], champion.get(name)))]
    for group in (ALIKE, COPIED):
        told = [name for name in group if _known(measures, name)]
        if not told:
            found.append(f"{' and '.join(group)}: {_silent(measures, group[0])}")
    for name, amount in (LIMITS | dict(asked)).items():
        if not _known(measures, name):
            continue
        measure = measures[name]
        if measure.null is None or measure.value is None:
            continue
        (limit,) = limits({name: amount}, {name: measure.null})
        if limit.missed({name: measure.value}):
            found.append(f"{name} {measure.value:.3g}: outside its limit, {limit}")
    return found


def _known(measures: Mapping[str, Measure], name: str) -> bool:
    return name in measures and measures[name].value is not None and measures[name].doubt is None


def _silent(measures: Mapping[str, Measure], name: str) -> str:
    if name not in measures:
        return "not measured"
    return f"not to be known ({measures[name].doubt or measures[name].detail.get('reason', 'no value')})"


def _worse(name: str, new: Measure, old: Measure | None) -> str | None:
    """Where the whole interval lies beyond the champion's."""
    if old is None or old.value is None or new.value is None:
        return None
    low, high = new.value if new.low is None else new.low, old.value if old.high is None else old.high
    if low <= high:
        return None
    return f"{name} {new.value:.4g}, at least {low:.4g}: worse than the champion's {old.value:.4g}, at most {high:.4g}"
