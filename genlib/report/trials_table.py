"""A search as a table of its trials, best first, and a picture per knob: what was tried and what it scored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genlib.formatting import MINUS, display_name, format_number
from genlib.report.embedded_images import EmbeddedImage
from genlib.report.leaderboard import better_direction
from genlib.report.plots import Theme, choose_axis_scale, render_plot
from genlib.runs import SweepResults

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OUTCOME_COLUMNS = ("status", "feasible", "winner", "front", "health", "images_seen", "seconds", "spent", "reason")
NON_METRIC_COLUMNS = ("trial", "repeat_of", "seed", *OUTCOME_COLUMNS)
STOPPED_STATUSES = ("stopped early", "collapsed", "diverged")
MAX_VALUE_TICKS = 4  # a knob with so few values is marked at each


@dataclass(frozen=True)
class TrialRow:
    """`score` is None where the trial never got one; `mark`: "winner", or why it could not win, or ""."""

    number: str
    is_default: bool
    hyperparameters: Mapping[str, str]
    metrics: Mapping[str, str]
    score: float | None
    status: str
    outcome: str
    images_seen: str
    seconds: str

    @property
    def is_winner(self) -> bool:
        return self.outcome == "winner"


def read_trials(sweep: SweepResults, metric: str) -> list[TrialRow]:
    """The trials by their score, the best first and those without one last; repeats of near ties are left out."""
    trials = [_parse_row(row, metric) for row in sweep.trials if not row.get("repeat_of")]
    sign = -1 if better_direction(metric) == "higher" else 1
    return sorted(trials, key=lambda trial: math.inf if trial.score is None else sign * trial.score)


def _parse_row(row: Mapping[str, str], metric: str) -> TrialRow:
    other = [name for name in row if name not in NON_METRIC_COLUMNS and not name.endswith(("_low", "_high"))]
    return TrialRow(
        number=row["trial"],
        is_default=row["trial"] == "0",
        hyperparameters={name: format_cell(row[name]) for name in other if "." in name},
        metrics={name: format_cell(row[name]) for name in other if "." not in name},
        score=parse_finite(row.get(metric, "")),
        status=row.get("status", ""),
        outcome="winner" if row.get("winner", "").lower() == "true" else _why_ineligible(row),
        images_seen=format_cell(row.get("images_seen", "")),
        seconds=format_cell(row.get("seconds", "")),
    )


def _why_ineligible(row: Mapping[str, str]) -> str:
    """Why this trial could not win."""
    if row.get("status", "finished") != "finished":
        return row["status"]
    return "below a limit" if row.get("feasible", "").lower() == "false" else ""


@dataclass(frozen=True)
class SearchCost:
    """What a search took: trials and repeats, how many of them were stopped early, images, and seconds of training."""

    num_trials: int
    num_repeats: int
    num_stopped: int
    images: str
    seconds: str


def search_cost(sweep: SweepResults) -> SearchCost:
    rows = sweep.trials
    repeats = sum(bool(row.get("repeat_of")) for row in rows)
    stopped = sum(row.get("status") in STOPPED_STATUSES for row in rows)
    images, seconds = (sum(parse_finite(row.get(key, "")) or 0.0 for row in rows) for key in ("images_seen", "seconds"))
    return SearchCost(len(rows) - repeats, repeats, stopped, f"{images:,.0f}", f"{seconds:,.0f}")


def parse_finite(text: str) -> float | None:
    """The finite number that `text` is, if it is one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def format_cell(text: str) -> str:
    """A cell of trials.csv for the reader: numbers to three digits, words as they are."""
    value = parse_finite(text)
    if value is None:
        return text
    return format_number(value) if abs(value) >= 1000 else f"{value:.3g}".replace("-", MINUS)


def hyperparameter_plots(model: str, sweep: SweepResults, metric: str) -> list[EmbeddedImage]:
    """One picture per knob: its value against the metric, a dot per trial; a hollow dot could not win."""
    trials = [trial for trial in read_trials(sweep, metric) if trial.score is not None]
    rows = {row["trial"]: row for row in sweep.trials}
    if len(trials) < 2:
        return []
    return [
        _plot_hyperparameter(model, knob, metric, trials, [rows[t.number][knob] for t in trials])
        for knob in trials[0].hyperparameters
    ]


def _plot_hyperparameter(
    model: str, key: str, metric: str, trials: Sequence[TrialRow], values: Sequence[str]
) -> EmbeddedImage:
    numbers = [parse_finite(value) for value in values]
    x = [number for number in numbers if number is not None]
    known = len(x) == len(values)

    def draw(axes: Axes, theme: Theme) -> None:
        places: Sequence[float | str] = x if known else values
        for at, trial in zip(places, trials, strict=True):
            _draw_trial(axes, theme, at, trial)
        axes.margins(x=0.12, y=0.15)
        if known and len(set(x)) <= MAX_VALUE_TICKS:
            axes.set_xticks(sorted(set(x)))
        elif known:
            axes.set_xscale(choose_axis_scale(x))
        axes.set_yscale(choose_axis_scale([trial.score or 0.0 for trial in trials]))
        axes.set_xlabel(display_name(key.rpartition(".")[2]))
        axes.set_ylabel(display_name(metric))

    best = next(
        (f" The winner has {format_cell(value)}." for value, t in zip(values, trials, strict=True) if t.is_winner), ""
    )
    return render_plot(key, f"{display_name(metric)} of the {len(trials)} trials of {model} against {key}.{best}", draw)


def _draw_trial(axes: Axes, theme: Theme, x: float | str, trial: TrialRow) -> None:
    colour, score = theme.palette[0 if trial.is_winner else 1], trial.score or 0.0
    fill = "none" if trial.outcome and not trial.is_winner else colour
    axes.scatter([x], [score], s=70 if trial.is_winner else 34, facecolors=fill, edgecolors=colour, linewidths=1.3)
    name = "winner" if trial.is_winner else "default" if trial.is_default else ""
    style: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 7.5, "color": theme.ink}
    axes.annotate(name, (x, score), (0, 7), **style)
