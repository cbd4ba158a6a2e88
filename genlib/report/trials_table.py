"""A search as a table of its trials, best first, and a picture per knob: what was tried and what it scored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genlib.formatting import MINUS, label, number
from genlib.report.embedded_images import Picture
from genlib.report.leaderboard import better
from genlib.report.plots import Theme, plot, scale
from genlib.runs import Sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OUTCOME = ("status", "feasible", "winner", "front", "health", "images_seen", "seconds", "spent", "reason")
FACTS = ("trial", "repeat_of", "seed", *OUTCOME)
STOPPED = ("stopped early", "collapsed", "diverged")
CHOICES = 4  # a knob with so few values is marked at each


@dataclass(frozen=True)
class Trial:
    """`score` is None where the trial never got one; `mark`: "winner", or why it could not win, or ""."""

    number: str
    default: bool
    knobs: Mapping[str, str]
    metrics: Mapping[str, str]
    score: float | None
    status: str
    mark: str
    images: str
    seconds: str

    @property
    def won(self) -> bool:
        return self.mark == "winner"


def read_trials(sweep: Sweep, metric: str) -> list[Trial]:
    """The trials by their score, the best first and those without one last; repeats of near ties are left out."""
    trials = [_trial(row, metric) for row in sweep.trials if not row.get("repeat_of")]
    sign = -1 if better(metric) == "higher" else 1
    return sorted(trials, key=lambda trial: math.inf if trial.score is None else sign * trial.score)


def _trial(row: Mapping[str, str], metric: str) -> Trial:
    other = [name for name in row if name not in FACTS and not name.endswith(("_low", "_high"))]
    return Trial(
        number=row["trial"],
        default=row["trial"] == "0",
        knobs={name: shown(row[name]) for name in other if "." in name},
        metrics={name: shown(row[name]) for name in other if "." not in name},
        score=numeric(row.get(metric, "")),
        status=row.get("status", ""),
        mark="winner" if row.get("winner", "").lower() == "true" else _obstacle(row),
        images=shown(row.get("images_seen", "")),
        seconds=shown(row.get("seconds", "")),
    )


def _obstacle(row: Mapping[str, str]) -> str:
    """Why this trial could not win."""
    if row.get("status", "finished") != "finished":
        return row["status"]
    return "below a limit" if row.get("feasible", "").lower() == "false" else ""


@dataclass(frozen=True)
class Cost:
    """What a search took: trials and repeats, how many of them were stopped early, images, and seconds of training."""

    trials: int
    repeats: int
    stopped: int
    images: str
    seconds: str


def cost(sweep: Sweep) -> Cost:
    rows = sweep.trials
    repeats = sum(bool(row.get("repeat_of")) for row in rows)
    stopped = sum(row.get("status") in STOPPED for row in rows)
    images, seconds = (sum(numeric(row.get(key, "")) or 0.0 for row in rows) for key in ("images_seen", "seconds"))
    return Cost(len(rows) - repeats, repeats, stopped, f"{images:,.0f}", f"{seconds:,.0f}")


def numeric(text: str) -> float | None:
    """The finite number that `text` is, if it is one."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def shown(text: str) -> str:
    """A cell of trials.csv for the reader: numbers to three digits, words as they are."""
    value = numeric(text)
    if value is None:
        return text
    return number(value) if abs(value) >= 1000 else f"{value:.3g}".replace("-", MINUS)


def knob_plots(model: str, sweep: Sweep, metric: str) -> list[Picture]:
    """One picture per knob: its value against the metric, a dot per trial; a hollow dot could not win."""
    trials = [trial for trial in read_trials(sweep, metric) if trial.score is not None]
    rows = {row["trial"]: row for row in sweep.trials}
    if len(trials) < 2:
        return []
    return [_knob(model, knob, metric, trials, [rows[t.number][knob] for t in trials]) for knob in trials[0].knobs]


def _knob(model: str, knob: str, metric: str, trials: Sequence[Trial], values: Sequence[str]) -> Picture:
    numbers = [numeric(value) for value in values]
    x = [number for number in numbers if number is not None]
    known = len(x) == len(values)

    def draw(axes: Axes, theme: Theme) -> None:
        places: Sequence[float | str] = x if known else values
        for at, trial in zip(places, trials, strict=True):
            _dot(axes, theme, at, trial)
        axes.margins(x=0.12, y=0.15)
        if known and len(set(x)) <= CHOICES:
            axes.set_xticks(sorted(set(x)))
        elif known:
            axes.set_xscale(scale(x))
        axes.set_yscale(scale([trial.score or 0.0 for trial in trials]))
        axes.set_xlabel(label(knob.rpartition(".")[2]))
        axes.set_ylabel(label(metric))

    best = next((f" The winner has {shown(value)}." for value, t in zip(values, trials, strict=True) if t.won), "")
    return plot(knob, f"{label(metric)} of the {len(trials)} trials of {model} against {knob}.{best}", draw)


def _dot(axes: Axes, theme: Theme, at: float | str, trial: Trial) -> None:
    colour, score = theme.lines[0 if trial.won else 1], trial.score or 0.0
    fill = "none" if trial.mark and not trial.won else colour
    axes.scatter([at], [score], s=70 if trial.won else 34, facecolors=fill, edgecolors=colour, linewidths=1.3)
    name = "winner" if trial.won else "default" if trial.default else ""
    style: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 7.5, "color": theme.ink}
    axes.annotate(name, (at, score), (0, 7), **style)
