"""What a search is after: the best of one metric among the trials that pay for it with nothing else.

Searchers and schedulers are told one number, less is better, that follows Deb's rules (2000, "An efficient constraint
handling method for genetic algorithms"): of two trials within all limits the better by the metric; of two outside the
one that is less far outside; and any within before any outside. So a collapsed generator with a fine score neither
wins, nor stops the trials beside it, nor leads the search to where it came from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, Protocol

from genlib.tuning.trial import Trial

MAX_NEAR_TIES = 3  # of a near tie


class Constraint(Protocol):
    """What a trial may not pay with."""

    def violation(self, metrics: Mapping[str, float]) -> float:
        """How far outside, from 0 (within) to 1 (no value at all)."""


@dataclass(frozen=True)
class SearchObjective:
    """`metric`, where `better` ("lower" or "higher"), within `limits`.

    `diversity` is a second metric, of which more is better, for a search of both; the winner is still the best by the
    first.
    """

    metric: str
    better: Literal["lower", "higher"] = "lower"
    constraints: tuple[Constraint, ...] = ()
    second_metric: str = ""

    def scalarize(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """What a searcher is told: `objective`, and `diversity` where that is sought, less being better of each.

        A value v within all limits is told as v / (1 + |v|), between -1 and 1; beyond stands 1 + what is missed.
        """
        missed = sum(limit.violation(metrics) for limit in self.constraints)
        found = {"objective": metrics.get(self.metric)}
        if self.second_metric:
            found["diversity"] = metrics.get(self.second_metric)
        signs = {"objective": 1 if self.better == "lower" else -1, "diversity": -1}
        return {
            name: self._worst_value
            if value is None
            else 1 + missed
            if missed
            else signs[name] * value / (1 + abs(value))
            for name, value in found.items()
        }

    def worst_values(self) -> dict[str, float]:
        """What a searcher is told of a trial that came to nothing."""
        return dict.fromkeys(self.scalarize({}), self._worst_value)

    @property
    def _worst_value(self) -> float:
        return 2.0 + len(self.constraints)

    def is_feasible(self, trial: Trial) -> bool:
        """Whether the trial came to a score and keeps within every limit."""
        scored = self.metric in trial.metrics and trial.status in ("finished", "stopped early")
        return scored and not any(limit.violation(trial.metrics) for limit in self.constraints)

    def best(self, trials: Sequence[Trial]) -> Trial | None:
        """The feasible trial with the best score of those that ran to their end."""
        return next(iter(self.rank_feasible(trials)), None)

    def rank_feasible(self, trials: Sequence[Trial]) -> list[Trial]:
        """The trials that may win, the best first."""
        able = [trial for trial in trials if trial.status == "finished" and self.is_feasible(trial)]
        return sorted(able, key=lambda trial: self.scalarize(trial.metrics)["objective"])

    def near_ties(self, trials: Sequence[Trial]) -> list[Trial]:
        """The best trial and those, CONTENDERS in all, whose interval meets its interval; metrics without an interval
        (`<metric>_low`, `<metric>_high`) know no near ties."""
        ranked = self.rank_feasible(trials)
        return [trial for trial in ranked if self._intervals_overlap(trial, ranked[0])][:MAX_NEAR_TIES]

    def _intervals_overlap(self, one: Trial, other: Trial) -> bool:
        if one is other:
            return True
        ends = [each.metrics.get(f"{self.metric}_{end}") for each in (one, other) for end in ("low", "high")]
        if None in ends:
            return False
        low, high, other_low, other_high = (float(end or 0) for end in ends)
        return low <= other_high and other_low <= high

    def winner(self, trials: Sequence[Trial], repeats: Mapping[int, Sequence[Trial]]) -> Trial | None:
        """Of the contenders the one with the best median over it and its `repeats`, by its number; None where no trial
        may win, or none of them would more often than not."""
        medians = {
            trial.number: median(self._objective_or_worst(run) for run in [trial, *repeats.get(trial.number, ())])
            for trial in self.near_ties(trials)
        }
        able = [trial for trial in trials if medians.get(trial.number, self._worst_value) < 1]
        return min(able, key=lambda trial: medians[trial.number], default=None)

    def _objective_or_worst(self, trial: Trial) -> float:
        return self.scalarize(trial.metrics)["objective"] if self.is_feasible(trial) else self._worst_value

    def pareto_front(self, trials: Sequence[Trial]) -> list[Trial]:
        """The Pareto front: of the trials that may win, those that no other beats in one metric without losing in the
        other; with one metric, the best."""
        able = self.rank_feasible(trials)
        places = {trial.number: tuple(self.scalarize(trial.metrics).values()) for trial in able}
        return [one for one in able if not any(_dominates(places[other.number], places[one.number]) for other in able)]


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
