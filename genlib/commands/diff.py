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
from genlib.files import require_writable
from genlib.metrics.result import Measure

WORKSPACE = "workspace"
CONFIG = ("model", "objective", "train")
PANELS = 24  # of the figure at the most
WORDS = {"tuned is better": "better", "default is better": "worse", "intervals overlap": "alike"}


@dataclass(frozen=True)
class Runs:
    """What one side holds, by model; `judged`: data and judge that the numbers are of."""

    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    measures: Mapping[str, Mapping[str, Measure]] = field(default_factory=dict)
    judged: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Move:
    """One metric of one model on both sides; `outcome`: better, worse, alike, or cannot tell."""

    model: str
    metric: str
    a: Measure
    b: Measure
    outcome: str

    def __str__(self) -> str:
        return f"{self.model} {self.metric}: {self.outcome}: {reading(self.a)} -> {reading(self.b)}"


@dataclass(frozen=True)
class Difference:
    """`params`: key -> both values; `moves`: every metric that both sides have; `notes`: what else is to be known."""

    params: Mapping[str, tuple[Any, Any]]
    moves: list[Move]
    notes: list[str]

    @property
    def moved(self) -> list[Move]:
        return [move for move in self.moves if move.outcome in ("better", "worse")]


def diff(a: str, b: str, figure: Path, as_json: bool) -> None:
    """Say what changed between two sets of runs, and what got better."""
    sides = compared(a, b)
    found = difference(*sides)
    if as_json:
        print(json.dumps(facts(found), indent=2))
    else:
        for line in words(found):
            print(line)
    if found.moved:
        draw(found.moved, figure, a, b)
        print(f"{figure}: what moved", file=sys.stderr if as_json else sys.stdout)


def compared(a: str, b: str) -> tuple[Runs, Runs]:
    folders = [name for name in (a, b) if Path(name).is_dir()]
    if len(folders) == 2:
        return read(Path(a)), read(Path(b))
    if folders:
        other = b if folders == [a] else a
        raise InputError(f"{other}: found no such folder, legal: two folders of runs, or two revisions")
    return of_revisions(a, b)


def read(folder: Path) -> Runs:
    """What lies in a folder of runs."""
    from genlib.runs import read_model

    runs = folder if (folder / "evaluate").is_dir() or (folder / "train").is_dir() else folder / "runs"
    names = sorted({path.name for stage in ("train", "evaluate") for path in (runs / stage).glob("*") if path.is_dir()})
    if not names:
        raise InputError(f"{folder}: found no runs/train or runs/evaluate with a model, legal: a folder of runs")
    models = {name: read_model(runs, name, tuned=False) for name in names}
    params = {
        name: {key: model.config.get(key, {}) for key in CONFIG} for name, model in models.items() if model.config
    }
    judged = {name: _judged(model.card) for name, model in models.items() if model.card}
    return Runs(params, {name: model.measures for name, model in models.items() if model.measures}, judged)


def _judged(card: Mapping[str, Any]) -> str:
    return f"{card.get('data_sha256', '')} {(card.get('judge') or {}).get('sha256', '')}"


def of_revisions(a: str, b: str) -> tuple[Runs, Runs]:
    """What DVC has of both."""
    metrics = _dvc("metrics", a, b, "--all", "--targets", "runs/evaluate")
    params = _dvc("params", a, b)
    return _side(metrics, params, "old"), _side(metrics, params, "new")


def _side(metrics: Mapping[str, Any], params: Mapping[str, Any], side: str) -> Runs:
    measures: dict[str, dict[str, Measure]] = {}
    judged: dict[str, str] = {}
    for file, changes in sorted(metrics.items()):  # DVC tells them in no order
        parts = Path(file).parts
        if parts[-3:-2] != ("evaluate",) or parts[-1] != "metrics.json":
            continue
        content = unflattened({key: each[side] for key, each in changes.items() if each.get(side) is not None})
        names = Measure.__dataclass_fields__
        measures[parts[-2]] = {
            metric: Measure(**{key: value for key, value in found.items() if key in names})
            for metric, found in sorted(content.get("metrics", {}).items())
        }
        if content.get("card"):
            judged[parts[-2]] = _judged(content["card"])
    changed = {key: each.get(side) for values in params.values() for key, each in values.items()}
    return Runs({"": changed}, {name: found for name, found in measures.items() if found}, judged)


def unflattened(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"a.b": 1} -> {"a": {"b": 1}}."""
    made: dict[str, Any] = {}
    for key, value in values.items():
        *path, last = key.split(".")
        at = made
        for part in path:
            at = at.setdefault(part, {})
        at[last] = value
    return made


def _dvc(kind: str, a: str, b: str, *options: str) -> dict[str, Any]:
    """What `dvc metrics diff` or `dvc params diff` says of two revisions."""
    program = str(Path(sys.executable).with_name("dvc"))
    command = [program, kind, "diff", "--json", *(each for each in (a, b) if each != WORKSPACE), *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise InputError(f"{program}: found that it does not run ({error}), legal: DVC, or two folders") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no reason given"])[0].removeprefix("ERROR: ")
        raise InputError(
            f"{a} and {b}: DVC says: {said}; legal: two revisions that hold params and metrics, or two folders"
        )
    found: dict[str, Any] = json.loads(done.stdout or "{}")
    return found


def difference(a: Runs, b: Runs) -> Difference:
    """Both sides held against each other, as far as the intervals allow."""
    from genlib.report.leaderboard import outcome
    from genlib.tracking.journal import flat

    before, after = flat(a.params), flat(b.params)
    both = [name for name in a.params if name in b.params]
    keys = [key for key in {**before, **after} if key.partition(".")[0] in both]
    params = {key.lstrip("."): (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}
    moves = []
    for model in (name for name in a.measures if name in b.measures):
        for metric, was in a.measures[model].items():
            now = b.measures[model].get(metric)
            if now is None:
                continue
            told = WORDS.get(outcome(metric, was, now), "cannot tell")
            moves.append(Move(model, metric, was, now, told))
    notes = [f"{name}: judged in {where} only" for name, where in _alone(a.measures, b.measures)]
    notes += [
        f"{name}: other data or another judge on each side, so its numbers do not compare"
        for name in a.judged
        if name in b.judged and a.judged[name] != b.judged[name]
    ]
    return Difference(params, moves, notes)


def _alone(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(name, "A") for name in a if name not in b] + [(name, "B") for name in b if name not in a]


def words(found: Difference) -> list[str]:
    """A line for each changed param, each metric that moved, and the rest in numbers."""
    lines = [f"{key}: {was} -> {now}" for key, (was, now) in found.params.items()] or ["no param differs"]
    lines += [str(move) for move in found.moved]
    for model in dict.fromkeys(move.model for move in found.moves):
        counts = dict.fromkeys(("better", "worse", "alike", "cannot tell"), 0)
        for move in found.moves:
            counts[move.outcome] += move.model == model
        said = ", ".join(f"{count} {told}" for told, count in counts.items() if count)
        lines.append(f"{model}: of {sum(counts.values())} metrics {said}")
    if not found.moves:
        lines.append("no model is judged on both sides")
    return lines + found.notes


def facts(found: Difference) -> dict[str, Any]:
    """The same for programs."""
    parts = ("value", "low", "high", "null", "n")
    moves = [
        {"model": move.model, "metric": move.metric, "outcome": move.outcome}
        | {side: {part: getattr(getattr(move, side), part) for part in parts} for side in ("a", "b")}
        for move in found.moves
    ]
    return {"params": {key: list(both) for key, both in found.params.items()}, "metrics": moves, "notes": found.notes}


def reading(measure: Measure) -> str:
    ends = "" if measure.low is None or measure.high is None else f" [{measure.low:.4g}, {measure.high:.4g}]"
    return "none" if measure.value is None else f"{measure.value:.4g}{ends}"


def draw(moves: list[Move], path: Path, a: str, b: str) -> None:
    """A panel for each metric that moved: both values with their intervals, and a line for real images."""
    from matplotlib.figure import Figure

    shown = moves[:PANELS]
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
    partial = path.with_name(f".{path.name}.partial")
    figure.savefig(partial, format="png")
    partial.replace(path)
