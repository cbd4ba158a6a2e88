"""A search as pictures: where the balance lies, which knobs went together, what it cost, what was traded for what."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from genlib.formatting import display_name, format_number
from genlib.report.embedded_images import EmbeddedImage
from genlib.report.leaderboard import better_direction
from genlib.report.plots import Theme, add_legend, choose_axis_scale, render_plot
from genlib.report.trials_table import TrialRow, parse_finite
from genlib.training.gan_state import DIVERGED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

STATE_MARKERS = {"D wins": "^", "G wins": "v", "collapsed": "X", DIVERGED: "X"}
X_KEY, Y_KEYS = "train.lr_g", ("train.lr_d", "train.lr_d/lr_g", "model.width_d", "model.width_d/width")

CsvRows = Sequence[Mapping[str, str]]


def search_plots(
    model: str, trials: Sequence[TrialRow], rows: CsvRows, metric: str, second_metric: str
) -> list[EmbeddedImage]:
    """Those of four pictures that there is something for: `rows` are the lines of trials.csv by the trials' numbers."""
    known = {row["trial"]: row for row in rows}
    scored = [(trial, known[trial.number]) for trial in trials if trial.score is not None]
    if len(scored) < 2:
        return []
    makers = (_balance_map, _best_so_far, _plot_pareto_front, _parallel_coordinates)
    pictures = [make(model, scored, metric, second_metric) for make in makers]
    return [picture for picture in pictures if picture]


ScoredTrials = Sequence[tuple[TrialRow, Mapping[str, str]]]


def _balance_map(model: str, scored: ScoredTrials, metric: str, second_metric: str) -> EmbeddedImage | None:
    """G's rate against D's, or against D's width; each trial coloured by its score and marked by how the game stood."""
    row = scored[0][1]
    vertical = next((key for key in Y_KEYS if key in row), None)
    if X_KEY not in row or vertical is None:
        return None
    ratio = vertical == "train.lr_d/lr_g"
    x = [parse_finite(row[X_KEY]) or math.nan for _, row in scored]
    y = [
        (parse_finite(row[vertical]) or math.nan) * (at if ratio else 1) for at, (_, row) in zip(x, scored, strict=True)
    ]
    places = _rank_fractions(scored, metric)

    def draw(axes: Axes, theme: Theme) -> None:
        colours = _rank_colormap(theme)
        for at, up, place, (trial, row) in zip(x, y, places, scored, strict=True):
            stood = row.get("health", "")
            mark = STATE_MARKERS.get(stood, "o")
            colour = colours(place)
            fill = "none" if trial.outcome and not trial.is_winner and mark != "X" else colour
            size = 90 if trial.is_winner else 42
            axes.scatter([at], [up], s=size, marker=mark, facecolors=fill, edgecolors=colour)
            if trial.is_winner or trial.is_default:
                _annotate(axes, theme, "winner" if trial.is_winner else "default", at, up)
        for name in dict.fromkeys(
            stood if (stood := row.get("health", "")) in STATE_MARKERS else "balanced" for _, row in scored
        ):
            axes.scatter([], [], s=30, marker=STATE_MARKERS.get(name, "o"), color=theme.soft, label=name)
        axes.set_xscale(choose_axis_scale(x))
        axes.set_yscale(choose_axis_scale(y))
        axes.margins(0.12)
        axes.set_xlabel("learning rate of G")
        axes.set_ylabel(
            "learning rate of D" if vertical.startswith("train.lr_d") else display_name(vertical.rpartition(".")[2])
        )
        add_legend(axes, theme)

    other = "learning rate" if vertical.startswith("train.lr_d") else "width"
    stood = ", ".join(f"{mark} {sum(row.get('health') == mark for _, row in scored)}" for mark in STATE_MARKERS)
    alt = (
        f"Trials of {model} by the learning rate of the generator and the {other} of the discriminator, coloured by "
        f"their {display_name(metric)}, the best red; hollow ones could not win. Ended as {stood}."
    )
    return render_plot("Balance map", alt, draw)


def _best_so_far(model: str, scored: ScoredTrials, metric: str, second_metric: str) -> EmbeddedImage | None:
    """The best score of a trial that may win, after all images that the search has spent."""
    spent = sorted(
        (parse_finite(row.get("spent", "")) or 0.0, trial.score or 0.0, not trial.outcome or trial.is_winner)
        for trial, row in scored
    )
    if not spent[-1][0]:
        return None
    pick = max if better_direction(metric) == "higher" else min
    able = [(at, score) for at, score, may_win in spent if may_win]
    steps = [(at, pick(score for _, score in able[: place + 1])) for place, (at, _) in enumerate(able)]

    def draw(axes: Axes, theme: Theme) -> None:
        from matplotlib.ticker import EngFormatter

        for at, score, may_win in spent:
            fill = theme.palette[1] if may_win else "none"
            axes.scatter([at], [score], s=26, facecolors=fill, edgecolors=theme.palette[1], linewidths=1.2)
        if steps:
            x, y = zip(*[*steps, (spent[-1][0], steps[-1][1])], strict=True)
            axes.step(x, y, where="post", color=theme.palette[0], linewidth=1.6)
        axes.set_yscale(choose_axis_scale([score for _, score, _ in spent]))
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.set_xlabel("images spent by all trials")
        axes.set_ylabel(display_name(metric))

    end = f": {format_number(steps[-1][1])} after {format_number(spent[-1][0])} images" if steps else ""
    return render_plot(
        "Best so far",
        f"The best {display_name(metric)} of {model} against the images that the search spent{end}.",
        draw,
    )


def _plot_pareto_front(model: str, scored: ScoredTrials, metric: str, second_metric: str) -> EmbeddedImage | None:
    """The metric against diversity; the trials that no other beats in both are joined."""
    both = [(trial, parse_finite(row.get(second_metric, "")), row) for trial, row in scored]
    pairs = [(spread, trial.score or 0.0, trial, row) for trial, spread, row in both if spread is not None]
    if second_metric == metric or len(pairs) < 2:
        return None
    best = sorted((spread, score) for spread, score, _, row in pairs if row.get("front", "").lower() == "true")

    def draw(axes: Axes, theme: Theme) -> None:
        if best:
            axes.plot(*zip(*best, strict=True), color=theme.palette[0], linewidth=1.4, zorder=1)
        for spread, score, trial, _ in pairs:
            colour = theme.palette[0 if (spread, score) in best else 1]
            fill = "none" if trial.outcome and not trial.is_winner else colour
            axes.scatter(
                [spread], [score], s=70 if trial.is_winner else 34, facecolors=fill, edgecolors=colour, zorder=2
            )
            if trial.is_winner or trial.is_default:
                _annotate(axes, theme, "winner" if trial.is_winner else "default", spread, score)
        axes.set_yscale(choose_axis_scale([score for _, score, _, _ in pairs]))
        axes.margins(0.1, 0.15)
        axes.set_xlabel(display_name(second_metric))
        axes.set_ylabel(display_name(metric))

    alt = f"{display_name(metric)} against {display_name(second_metric)} of the trials of {model}; {len(best)} on the Pareto front."
    return render_plot("Quality against diversity", alt[:1].upper() + alt[1:], draw)


def _parallel_coordinates(model: str, scored: ScoredTrials, metric: str, second_metric: str) -> EmbeddedImage | None:
    """A line a trial through all its knobs to its rank, the better the darker."""
    knobs = [key for key in scored[0][1] if "." in key]
    axes_of = {key: _to_unit_range([row[key] for _, row in scored]) for key in knobs}
    places = _rank_fractions(scored, metric)

    def draw(axes: Axes, theme: Theme) -> None:
        colours = _rank_colormap(theme)
        for which, ((trial, _), place) in sorted(
            enumerate(zip(scored, places, strict=True)), key=lambda each: -each[1][1]
        ):
            y = [*(axes_of[key][which] for key in knobs), 1 - place]
            width, style = (2.2, "-") if trial.is_winner else (1.0, "--" if trial.outcome else "-")
            axes.plot(range(len(y)), y, color=colours(place), linewidth=width, linestyle=style)
        names = [*(key.partition(".")[2] for key in knobs), display_name(metric)]
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=7)
        axes.set_yticks([0, 1], ["low", "high"])
        axes.yaxis.get_majorticklabels()[0].set_fontsize(7)
        axes.grid(axis="x", color=theme.rule, linewidth=0.8)
        axes.set_ylim(-0.05, 1.05)

    alt = (
        f"The knobs of the {len(scored)} trials of {model}, a line a trial, each from its lowest to its highest value; "
        f"the line ends at the top for the best {display_name(metric)}."
    )
    return render_plot("Knobs together", alt, draw)


def _rank_fractions(scored: ScoredTrials, metric: str) -> list[float]:
    """0 for the best score of those that may win, 1 for the worst of those that may not."""
    sign = -1 if better_direction(metric) == "higher" else 1
    order = sorted(range(len(scored)), key=lambda which: _rank_key(scored[which][0], sign))
    return [order.index(which) / (len(scored) - 1) for which in range(len(scored))]


def _rank_key(trial: TrialRow, sign: int) -> tuple[bool, float]:
    return bool(trial.outcome) and not trial.is_winner, sign * (trial.score or 0.0)


def _to_unit_range(values: Sequence[str]) -> list[float]:
    """The values of one knob between 0 and 1: by their logarithm where they span much, words by their order."""
    numbers = [parse_finite(value) for value in values]
    known = [value for value in numbers if value is not None]
    if len(known) < len(values):
        words = sorted(set(values))
        known = [float(words.index(value)) for value in values]
    elif choose_axis_scale(known) == "log":
        known = [math.log(value) for value in known]
    low, high = min(known), max(known)
    return [(value - low) / (high - low) if high > low else 0.5 for value in known]


def _rank_colormap(theme: Theme) -> Colormap:
    """From the colour of the best to one near the paper."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("rank", [theme.palette[0], theme.palette[1], theme.rule])


def _annotate(axes: Axes, theme: Theme, text: str, x: float, y: float) -> None:
    axes.annotate(text, (x, y), (0, 8), textcoords="offset points", ha="center", fontsize=7.5, color=theme.ink)
