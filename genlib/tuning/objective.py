"""What a search optimises: one metric under constraints on others, or two metrics at once.

Searchers and schedulers minimise one number that follows Deb's rules (2000, "An efficient constraint handling method
for genetic algorithms"): feasible trials are ordered by the metric, infeasible ones by their constraint violation, and
every feasible trial is better than every infeasible one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from genlib.metrics.constraints import Constraint
from genlib.tuning.trial import Trial

MAX_NEAR_TIES = 3


@dataclass(frozen=True)
class SearchObjective:
    """The best `metric` within `constraints`. `second_metric`, higher is better, is optimised beside it; the winner is
    still the best by `metric`."""

    metric: str
    better: Literal["lower", "higher"] = "lower"
    constraints: tuple[Constraint, ...] = ()
    second_metric: str = ""

    def scalarize(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """The numbers that a searcher minimises: `objective`, and `second_metric` where there is one. A value v within
        the constraints becomes +-v / (1 + |v|), outside 1 + the violations, none (of a failed trial) the worst."""
        violation, sign = self.violation(metrics), 1 if self.better == "lower" else -1
        scalars = {"objective": self._scalarize(metrics.get(self.metric), sign, violation)}
        if self.second_metric:
            scalars["second_metric"] = self._scalarize(metrics.get(self.second_metric), -1, violation)
        return scalars

    def _scalarize(self, value: float | None, sign: int, violation: float) -> float:
        if value is None or not math.isfinite(value):
            return self._worst_value
        return 1 + violation if violation else sign * value / (1 + abs(value))

    @property
    def _worst_value(self) -> float:
        return 2.0 + len(self.constraints)

    def violation(self, metrics: Mapping[str, float]) -> float:
        """Sum of the constraint violations: 0 for a feasible model."""
        return sum(constraint.violation(metrics) for constraint in self.constraints)

    def is_feasible(self, trial: Trial) -> bool:
        """Whether the trial has a score and satisfies every constraint."""
        scored = math.isfinite(trial.metrics.get(self.metric, math.nan))
        return scored and trial.status in ("finished", "stopped early") and not self.violation(trial.metrics)

    def rank_feasible(self, trials: Sequence[Trial]) -> list[Trial]:
        """The feasible trials that ran to their end, best first."""
        finished = [trial for trial in trials if trial.status == "finished" and self.is_feasible(trial)]
        return sorted(finished, key=self._objective_or_worst)

    def best(self, trials: Sequence[Trial]) -> Trial | None:
        return next(iter(self.rank_feasible(trials)), None)

    def near_ties(self, trials: Sequence[Trial]) -> list[Trial]:
        """The best trial and those whose interval (`<metric>_low` to `<metric>_high`) overlaps its interval, at most
        MAX_NEAR_TIES in all; a metric without intervals has no near ties."""
        ranked = self.rank_feasible(trials)
        ties = [trial for trial in ranked if trial is ranked[0] or self._intervals_overlap(trial, ranked[0])]
        return ties[:MAX_NEAR_TIES]

    def _intervals_overlap(self, one: Trial, other: Trial) -> bool:
        low, high, other_low, other_high = (
            trial.metrics.get(f"{self.metric}_{end}", math.nan) for trial in (one, other) for end in ("low", "high")
        )
        return low <= other_high and other_low <= high

    def winner(self, trials: Sequence[Trial], repeats: Mapping[int, Sequence[Trial]]) -> Trial | None:
        """The near tie with the best median over itself and its `repeats` (by trial number); None where each of them
        is infeasible more often than not."""
        medians = {
            trial.number: median(self._objective_or_worst(run) for run in [trial, *repeats.get(trial.number, ())])
            for trial in self.near_ties(trials)
        }
        feasible = [trial for trial in trials if medians.get(trial.number, math.inf) < 1]
        return min(feasible, key=lambda trial: medians[trial.number], default=None)

    def _objective_or_worst(self, trial: Trial) -> float:
        return self.scalarize(trial.metrics)["objective"] if self.is_feasible(trial) else self._worst_value

    def pareto_front(self, trials: Sequence[Trial]) -> list[Trial]:
        """The feasible trials that no other dominates; with one metric, the best."""

        def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
            return one != other and all(a <= b for a, b in zip(one, other, strict=True))

        scores = [(trial, tuple(self.scalarize(trial.metrics).values())) for trial in self.rank_feasible(trials)]
        return [trial for trial, score in scores if not any(dominates(other, score) for _, other in scores)]
