"""`genlib diff`: what changed between two sets of runs: params, and metrics beyond their intervals.

A set is a folder with `runs` in it (or that folder), or a revision of git or an experiment of DVC, which DVC reads.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genlib.errors import InputError
from genlib.files import atomic_path, require_writable
from genlib.metrics.result import MetricResult

WORKSPACE = "workspace"
COMPARED_SECTIONS = ("model", "objective", "train")
MAX_PANELS = 24  # of the figure at the most
OUTCOME_WORDS = {"tuned is better": "better", "default is better": "worse", "intervals overlap": "alike"}


@dataclass(frozen=True)
class RunSet:
    """What one side holds, by model; `judged`: data and judge that the numbers are of."""

    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, MetricResult]] = field(default_factory=dict)
    evaluation_ids: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MetricDiff:
    """One metric of one model on both sides; `outcome`: better, worse, alike, or cannot tell."""

    model: str
    metric: str
    a: MetricResult
    b: MetricResult
    outcome: str

    def __str__(self) -> str:
        return f"{self.model} {self.metric}: {self.outcome}: {format_result(self.a)} -> {format_result(self.b)}"


@dataclass(frozen=True)
class RunDiff:
    """`params`: key -> both values; `moves`: every metric that both sides have; `notes`: what else is to be known."""

    params: Mapping[str, tuple[Any, Any]]
    metric_diffs: list[MetricDiff]
    notes: list[str]

    @property
    def changed_metrics(self) -> list[MetricDiff]:
        return [move for move in self.metric_diffs if move.outcome in ("better", "worse")]


def diff(a: str, b: str, figure: Path, as_json: bool) -> None:
    """Say what changed between two sets of runs, and what got better."""
    sides = read_sides(a, b)
    found = compare_runs(*sides)
    if as_json:
        print(json.dumps(diff_to_dict(found), indent=2))
    else:
        for line in format_lines(found):
            print(line)
    if found.changed_metrics:
        draw_figure(found.changed_metrics, figure, a, b)
        print(f"{figure}: what moved", file=sys.stderr if as_json else sys.stdout)


def read_sides(a: str, b: str) -> tuple[RunSet, RunSet]:
    folders = [name for name in (a, b) if Path(name).is_dir()]
    if len(folders) == 2:
        return read_folder(Path(a)), read_folder(Path(b))
    if folders:
        other = b if folders == [a] else a
        raise InputError(f"{other}: got no such folder, expected two folders of runs, or two revisions")
    return read_revisions(a, b)


def read_folder(folder: Path) -> RunSet:
    """What lies in a folder of runs."""
    from genlib.runs import read_model_results

    runs = folder if (folder / "evaluate").is_dir() or (folder / "train").is_dir() else folder / "runs"
    names = sorted({path.name for stage in ("train", "evaluate") for path in (runs / stage).glob("*") if path.is_dir()})
    if not names:
        raise InputError(f"{folder}: got no runs/train or runs/evaluate with a model, expected a folder of runs")
    models = {name: read_model_results(runs, name, with_tuning=False) for name in names}
    params = {
        name: {key: model.config.get(key, {}) for key in COMPARED_SECTIONS}
        for name, model in models.items()
        if model.config
    }
    judged = {name: _evaluation_id(model.card) for name, model in models.items() if model.card}
    return RunSet(params, {name: model.metrics for name, model in models.items() if model.metrics}, judged)


def _evaluation_id(card: Mapping[str, Any]) -> str:
    return f"{card.get('data_sha256', '')} {(card.get('judge') or {}).get('sha256', '')}"


def read_revisions(a: str, b: str) -> tuple[RunSet, RunSet]:
    """What DVC has of both."""
    metrics = _run_dvc_diff("metrics", a, b, "--all", "--targets", "runs/evaluate")
    params = _run_dvc_diff("params", a, b)
    return _parse_side(metrics, params, "old"), _parse_side(metrics, params, "new")


def _parse_side(metrics: Mapping[str, Any], params: Mapping[str, Any], side: str) -> RunSet:
    measures: dict[str, dict[str, MetricResult]] = {}
    judged: dict[str, str] = {}
    for file, changes in sorted(metrics.items()):  # DVC tells them in no order
        parts = Path(file).parts
        if parts[-3:-2] != ("evaluate",) or parts[-1] != "metrics.json":
            continue
        content = unflatten({key: each[side] for key, each in changes.items() if each.get(side) is not None})
        names = MetricResult.__dataclass_fields__
        measures[parts[-2]] = {
            metric: MetricResult(**{key: value for key, value in found.items() if key in names})
            for metric, found in sorted(content.get("metrics", {}).items())
        }
        if content.get("card"):
            judged[parts[-2]] = _evaluation_id(content["card"])
    changed = {key: each.get(side) for values in params.values() for key, each in values.items()}
    return RunSet({"": changed}, {name: found for name, found in measures.items() if found}, judged)


def unflatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} -> {"a": {"b": 1}}."""
    made: dict[str, Any] = {}
    for key, value in values.items():
        *path, last = key.split(".")
        at = made
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value
    return made


def _run_dvc_diff(kind: str, a: str, b: str, *options: str) -> dict[str, Any]:
    """What `dvc metrics diff` or `dvc params diff` says of two revisions."""
    program = str(Path(sys.executable).with_name("dvc"))
    command = [program, kind, "diff", "--json", *(each for each in (a, b) if each != WORKSPACE), *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"{program}: got that it does not run ({error}), expected DVC, or two folders") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[0].removeprefix("ERROR: ")
        raise InputError(
            f"{a} and {b}: DVC says: {said}; expected two revisions that hold params and metrics, or two folders"
        )
    found: dict[str, Any] = json.loads(done.stdout or "{}")
    return found


def compare_runs(a: RunSet, b: RunSet) -> RunDiff:
    """Both sides held against each other, as far as the intervals allow."""
    from genlib.params import flatten_dotted
    from genlib.report.leaderboard import compare_results

    before, after = flatten_dotted(a.params), flatten_dotted(b.params)
    both = [name for name in a.params if name in b.params]
    keys = [key for key in {**before, **after} if key.partition(".")[0] in both]
    params = {key.lstrip("."): (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}
    moves = []
    for model in (name for name in a.metrics if name in b.metrics):
        for metric, was in a.metrics[model].items():
            now = b.metrics[model].get(metric)
            if now is None:
                continue
            told = OUTCOME_WORDS.get(compare_results(metric, was, now), "cannot tell")
            moves.append(MetricDiff(model, metric, was, now, told))
    notes = [f"{name}: judged in {where} only" for name, where in _on_one_side(a.metrics, b.metrics)]
    notes += [
        f"{name}: other data or another judge on each side, so its numbers do not compare"
        for name in a.evaluation_ids
        if name in b.evaluation_ids and a.evaluation_ids[name] != b.evaluation_ids[name]
    ]
    return RunDiff(params, moves, notes)


def _on_one_side(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, "A") for name in a if name not in b] + [(name, "B") for name in b if name not in a]


def format_lines(run_diff: RunDiff) -> list[str]:
    """A line for each changed param, each metric that moved, and the rest in numbers."""
    lines = [f"{key}: {was} -> {now}" for key, (was, now) in run_diff.params.items()] or ["no param differs"]
    lines += [str(move) for move in run_diff.changed_metrics]
    for model in dict.fromkeys(move.model for move in run_diff.metric_diffs):
        counts = dict.fromkeys(("better", "worse", "alike", "cannot tell"), 0)
        for move in run_diff.metric_diffs:
            counts[move.outcome] += move.model == model
        said = ", ".join(f"{count} {told}" for told, count in counts.items() if count)
        lines.append(f"{model}: of {sum(counts.values())} metrics {said}")
    if not run_diff.metric_diffs:
        lines.append("no model is judged on both sides")
    return lines + run_diff.notes


def diff_to_dict(run_diff: RunDiff) -> dict[str, Any]:
    """The same for programs."""
    parts = ("value", "low", "high", "null", "n")
    moves = [
        {"model": move.model, "metric": move.metric, "outcome": move.outcome}
        | {side: {part: getattr(getattr(move, side), part) for part in parts} for side in ("a", "b")}
        for move in run_diff.metric_diffs
    ]
    return {
        "params": {key: list(both) for key, both in run_diff.params.items()},
        "metrics": moves,
        "notes": run_diff.notes,
    }


def format_result(result: MetricResult) -> str:
    ends = "" if result.low is None or result.high is None else f" [{result.low:.4g}, {result.high:.4g}]"
    return "none" if result.value is None else f"{result.value:.4g}{ends}"


def draw_figure(metric_diffs: list[MetricDiff], path: Path, a: str, b: str) -> None:
    """A panel for each metric that moved: both values with their intervals, and a line for real images."""
    from matplotlib.figure import Figure

    shown = metric_diffs[:MAX_PANELS]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(2.6 * columns, 1.9 * rows + 0.5), dpi=120, layout="constrained")
    figure.suptitle(f"A: {a}    B: {b}    dashed: real images", fontsize=8)
    for index, move in enumerate(shown):
        axes = figure.add_subplot(rows, columns, index + 1)
        colours = ("#6d675f", "#5a8a4f" if move.outcome == "better" else "#c8442f")
        for height, (side, colour) in enumerate(zip((move.b, move.a), reversed(colours), strict=True)):
            low, value, high = (float(end or 0) for end in (side.low, side.value, side.high))
            axes.plot([low, high], [height, height], color=colour, linewidth=2)
            axes.plot([value], [height], "o", color=colour, markersize=5)
        if move.a.null is not None:
            axes.axvline(move.a.null, color="#24211d", linewidth=0.8, linestyle="--")
        axes.set_yticks([0, 1], ["B", "A"], fontsize=7)
        axes.set_ylim(-0.6, 1.6)
        axes.tick_params(axis="x", labelsize=6)
        axes.set_title(f"{move.model}: {move.metric.replace('_', ' ')}, {move.outcome}", fontsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    require_writable(path, "--figure")
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png")
