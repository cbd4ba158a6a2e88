"""A search: its trials, best first, its cost, and its plots.

optuna.visualization.matplotlib does not mark winner and default, and has no axis of images (docs/decisions.md).
"""

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import EngFormatter

from genlib.formatting import MINUS, display_name, format_number
from genlib.report.embedded_images import INK, PALETTE, RULE, SOFT, EmbeddedImage, add_legend, choose_scale, render_plot
from genlib.report.leaderboard import better_direction
from genlib.runs import SweepResults
from genlib.training.gan_state import DIVERGED
from genlib.tuning.trial import OUTCOME_COLUMNS, STOPPED_STATUSES

STATE_MARKERS = {"D wins": "^", "G wins": "v", "collapsed": "X", DIVERGED: "X"}
X_KEY, Y_KEYS = "train.lr_g", ("train.lr_d", "train.lr_d/lr_g", "model.width_d", "model.width_d/width")
MAX_VALUE_TICKS = 4  # a hyperparameter with so few values has a tick at each
NON_METRIC_COLUMNS = ("trial", "repeat_of", "seed", *OUTCOME_COLUMNS)


class TrialRow(NamedTuple):
    """`cells`: the row of trials.csv as text; `score` is None where the trial has none; `outcome`: "winner", or why it
    could not win, or ""."""

    cells: Mapping[str, str]
    score: float | None
    outcome: str

    @property
    def is_default(self) -> bool:
        return self.cells["trial"] == "0"

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


class SearchCost(NamedTuple):
    """Trials and repeats, how many of them were stopped early, and the images and seconds of training."""

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


def search_plots(model: str, trials: Sequence[TrialRow], metric: str, second_metric: str) -> list[EmbeddedImage]:
    """The plots that there is something for; `trials` come best first."""
    scored = [trial for trial in trials if trial.score is not None]
    if len(scored) < 2:
        return []
    ranked = sorted(scored, key=lambda trial: not trial.may_win)
    plots = [
        _balance_map(model, ranked, metric),
        _best_so_far(model, ranked, metric),
        _pareto_front(model, ranked, metric, second_metric),
        _parallel_coordinates(model, ranked, metric),
        *(_hyperparameter_plot(model, ranked, metric, key) for key in ranked[0].hyperparameters),
    ]
    return [plot for plot in plots if plot]


def _balance_map(model: str, ranked: Sequence[TrialRow], metric: str) -> EmbeddedImage | None:
    """G's rate against D's rate or width; each trial coloured by its rank and marked by the state of the GAN."""
    y_key = next((key for key in Y_KEYS if key in ranked[0].cells), None)
    if X_KEY not in ranked[0].cells or y_key is None:
        return None
    of_rate = y_key.startswith("train.lr_d")
    x = [trial.value(X_KEY) or math.nan for trial in ranked]
    y = [trial.value(y_key) or math.nan for trial in ranked]
    if y_key == "train.lr_d/lr_g":
        y = [ratio * rate for ratio, rate in zip(y, x, strict=True)]
    states = [trial.cells.get("health", "") for trial in ranked]

    def draw(axes: Axes) -> None:
        colours = _rank_colours(len(ranked))
        for trial, colour, state, at_x, at_y in zip(ranked, colours, states, x, y, strict=True):
            _draw_trial(axes, at_x, at_y, trial, colour, STATE_MARKERS.get(state, "o"))
        for name in dict.fromkeys(state if state in STATE_MARKERS else "balanced" for state in states):
            axes.scatter([], [], s=30, marker=STATE_MARKERS.get(name, "o"), color=SOFT, label=name)
        axes.set_xscale(choose_scale(x))
        axes.set_yscale(choose_scale(y))
        axes.margins(0.12)
        axes.set_xlabel("learning rate of G")
        axes.set_ylabel("learning rate of D" if of_rate else display_name(y_key.rpartition(".")[2]))
        add_legend(axes)

    counts = ", ".join(f"{state} {states.count(state)}" for state in STATE_MARKERS)
    alt = (
        f"Trials of {model} by the learning rate of the generator and the {'learning rate' if of_rate else 'width'} of "
        f"the discriminator, coloured by their {display_name(metric)}, the best red; hollow ones could not win. Ended "
        f"as {counts}."
    )
    return render_plot("Balance map", alt, draw)


def _best_so_far(model: str, ranked: Sequence[TrialRow], metric: str) -> EmbeddedImage | None:
    """The best score of a trial that may win, against the images that all trials have seen by then."""
    trials = sorted(ranked, key=lambda trial: trial.value("spent") or 0.0)
    images = [trial.value("spent") or 0.0 for trial in trials]
    if not images[-1]:
        return None
    eligible = [(x, trial.score or 0.0) for x, trial in zip(images, trials, strict=True) if trial.may_win]
    best = list(accumulate((score for _, score in eligible), max if better_direction(metric) == "higher" else min))

    def draw(axes: Axes) -> None:
        for x, trial in zip(images, trials, strict=True):
            _draw_trial(axes, x, trial.score or 0.0, trial, PALETTE[1])
        if best:
            steps_x = [*(x for x, _ in eligible), images[-1]]
            axes.step(steps_x, [*best, best[-1]], where="post", color=PALETTE[0], linewidth=1.6)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("images seen by all trials")
        _set_score_axis(axes, ranked, metric)

    end = f": {format_number(best[-1])} after {format_number(images[-1])} images" if best else ""
    alt = f"The best {display_name(metric)} of {model} against the images that the search has seen{end}."
    return render_plot("Best so far", alt, draw)


def _pareto_front(model: str, ranked: Sequence[TrialRow], metric: str, second_metric: str) -> EmbeddedImage | None:
    """The two metrics against each other; a line joins the trials that no other beats in both."""
    pairs = [(x, trial) for trial in ranked if (x := trial.value(second_metric)) is not None]
    if second_metric == metric or len(pairs) < 2:
        return None
    front = sorted((x, trial.score or 0.0) for x, trial in pairs if trial.cells.get("front", "").lower() == "true")

    def draw(axes: Axes) -> None:
        if front:
            axes.plot(*zip(*front, strict=True), color=PALETTE[0], linewidth=1.4, zorder=1)
        for x, trial in pairs:
            colour = PALETTE[0 if (x, trial.score) in front else 1]
            _draw_trial(axes, x, trial.score or 0.0, trial, colour)
        axes.margins(0.1, 0.15)
        axes.set_xlabel(display_name(second_metric))
        _set_score_axis(axes, ranked, metric)

    names = f"{display_name(metric)} against {display_name(second_metric)}"
    alt = f"{names} of the trials of {model}; {len(front)} on the Pareto front."
    return render_plot("Quality against diversity", alt[:1].upper() + alt[1:], draw)


def _parallel_coordinates(model: str, ranked: Sequence[TrialRow], metric: str) -> EmbeddedImage:
    """A line for each trial through all its hyperparameters to its rank, the better the darker."""
    keys = list(ranked[0].hyperparameters)
    heights = [_to_unit_range([trial.cells[key] for trial in ranked]) for key in keys]
    heights.append([1 - rank / (len(ranked) - 1) for rank in range(len(ranked))])
    names = [*(key.partition(".")[2] for key in keys), display_name(metric)]

    def draw(axes: Axes) -> None:
        lines = zip(ranked, _rank_colours(len(ranked)), zip(*heights, strict=True), strict=True)
        for trial, colour, y in reversed(list(lines)):
            width, style = (2.2, "-") if trial.is_winner else (1.0, "-" if trial.may_win else "--")
            axes.plot(range(len(y)), y, color=colour, linewidth=width, linestyle=style)
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=7)
        axes.set_yticks([0, 1], ["low", "high"])
        axes.yaxis.get_majorticklabels()[0].set_fontsize(7)
        axes.grid(axis="x", color=RULE, linewidth=0.8)
        axes.set_ylim(-0.05, 1.05)

    alt = (
        f"The hyperparameters of the {len(ranked)} trials of {model}, a line a trial, each from its lowest to its "
        f"highest value; the line ends at the top for the best {display_name(metric)}."
    )
    return render_plot("Hyperparameters together", alt, draw)


def _hyperparameter_plot(model: str, ranked: Sequence[TrialRow], metric: str, key: str) -> EmbeddedImage:
    cells = [trial.cells[key] for trial in ranked]
    numbers = _parse_all(cells)
    places: Sequence[float | str] = numbers or cells

    def draw(axes: Axes) -> None:
        for x, trial in zip(places, ranked, strict=True):
            _draw_trial(axes, x, trial.score or 0.0, trial, PALETTE[0 if trial.is_winner else 1])
        axes.margins(x=0.12, y=0.15)
        if numbers and len(set(numbers)) <= MAX_VALUE_TICKS:
            axes.set_xticks(sorted(set(numbers)))
        elif numbers:
            axes.set_xscale(choose_scale(numbers))
        axes.set_xlabel(display_name(key.rpartition(".")[2]))
        _set_score_axis(axes, ranked, metric)

    best = "".join(f" The winner has {trial.format(key)}." for trial in ranked if trial.is_winner)
    alt = f"{display_name(metric)} of the {len(ranked)} trials of {model} against {key}.{best}"
    return render_plot(key, alt, draw)


def _draw_trial(axes: Axes, x: float | str, y: float, trial: TrialRow, colour: Any, marker: str = "o") -> None:
    """A dot: large for the winner, hollow where the trial could not win; winner and default are named."""
    fill = colour if trial.may_win or marker == "X" else "none"
    size = 80 if trial.is_winner else 36
    axes.scatter([x], [y], s=size, marker=marker, facecolors=fill, edgecolors=colour, linewidths=1.3, zorder=2)
    name = "winner" if trial.is_winner else "default" if trial.is_default else ""
    axes.annotate(name, (x, y), (0, 8), textcoords="offset points", ha="center", fontsize=7.5, color=INK)


def _set_score_axis(axes: Axes, ranked: Sequence[TrialRow], metric: str) -> None:
    axes.set_yscale(choose_scale([trial.score or 0.0 for trial in ranked]))
    axes.set_ylabel(display_name(metric))


def _rank_colours(n: int) -> list[Any]:
    """From the colour of the best to one near the paper."""
    colormap = LinearSegmentedColormap.from_list("rank", [PALETTE[0], PALETTE[1], RULE])
    return [colormap(rank / (n - 1)) for rank in range(n)]


def _parse_all(cells: Sequence[str]) -> list[float]:
    """The cells as numbers; none where one of them is a word."""
    numbers = [number for cell in cells if (number := parse_finite(cell)) is not None]
    return numbers if len(numbers) == len(cells) else []


def _to_unit_range(cells: Sequence[str]) -> list[float]:
    """Values of one hyperparameter between 0 and 1: by their logarithm where they span much, words by their order."""
    words = sorted(set(cells))
    values = _parse_all(cells) or [float(words.index(cell)) for cell in cells]
    if _parse_all(cells) and choose_scale(values) == "log":
        values = [math.log(value) for value in values]
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]
