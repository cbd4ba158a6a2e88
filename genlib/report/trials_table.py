"""The trials of a sweep for the report, best first, and the cost of the search."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from genlib.formatting import MINUS, format_number
from genlib.report.leaderboard import better_direction
from genlib.runs import SweepResults
from genlib.tuning.trial import OUTCOME_COLUMNS, STOPPED_STATUSES

NON_METRIC_COLUMNS = ("trial", "repeat_of", "seed", *OUTCOME_COLUMNS)


@dataclass(frozen=True)
class TrialRow:
    """`cells`: the row of trials.csv as text; `score` is None where the trial has none; `outcome`: "winner", or why it
    could not win, or ""."""

    cells: Mapping[str, str]
    score: float | None
    outcome: str

    @property
    def number(self) -> str:
        return self.cells["trial"]

    @property
    def is_default(self) -> bool:
        return self.number == "0"

    @property
    def is_winner(self) -> bool:
        return self.outcome == "winner"

    @property
    def may_win(self) -> bool:
        return self.outcome in ("winner", "")

    @property
    def metrics(self) -> dict[str, str]:
        """What is neither a hyperparameter (those have dotted keys) nor an end of an interval, for the reader."""
        names = [name for name in self.cells if name not in NON_METRIC_COLUMNS and "." not in name]
        return {name: self.format(name) for name in names if not name.endswith(("_low", "_high"))}

    @property
    def hyperparameters(self) -> dict[str, str]:
        return {name: self.format(name) for name in self.cells if "." in name}

    def value(self, column: str) -> float | None:
        """The finite number in a column, if there is one."""
        return parse_finite(self.cells.get(column, ""))

    def format(self, column: str) -> str:
        """A cell for the reader: numbers to three digits, words as they are."""
        value = self.value(column)
        if value is None:
            return self.cells.get(column, "")
        return format_number(value) if abs(value) >= 1000 else f"{value:.3g}".replace("-", MINUS)


def read_trials(sweep: SweepResults, metric: str) -> list[TrialRow]:
    """The trials by their score, best first and those without one last; repeats of near ties are left out."""
    rows = [row for row in sweep.trials if not row.get("repeat_of")]
    trials = [TrialRow(row, parse_finite(row.get(metric, "")), _outcome(row)) for row in rows]
    sign = -1 if better_direction(metric) == "higher" else 1
    return sorted(trials, key=lambda trial: math.inf if trial.score is None else sign * trial.score)


def _outcome(row: Mapping[str, str]) -> str:
    if row.get("winner", "").lower() == "true":
        return "winner"
    if row.get("status", "finished") != "finished":
        return row["status"]
    return "violates a constraint" if row.get("feasible", "").lower() == "false" else ""


def parse_finite(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class SearchCost:
    """Trials and repeats, how many of them were stopped early, images, and seconds of training."""

    num_trials: int
    num_repeats: int
    num_stopped: int
    images: str
    seconds: str


def search_cost(rows: Sequence[Mapping[str, str]]) -> SearchCost:
    num_repeats = sum(bool(row.get("repeat_of")) for row in rows)
    num_stopped = sum(row.get("status") in STOPPED_STATUSES for row in rows)
    images, seconds = (sum(parse_finite(row.get(key, "")) or 0.0 for row in rows) for key in ("images_seen", "seconds"))
    return SearchCost(len(rows) - num_repeats, num_repeats, num_stopped, f"{images:,.0f}", f"{seconds:,.0f}")
