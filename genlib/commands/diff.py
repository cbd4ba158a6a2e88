"""`genlib diff`: what changed between two sets of runs: params, and metrics by their difference on the same images.

A set is a folder with `runs` in it (or that folder), or a revision of git or an experiment of DVC, which DVC reads.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple, Self

from genlib.errors import InputError
from genlib.files import atomic_path, require_writable
from genlib.metrics.differences import Difference, compare_results
from genlib.metrics.result import MetricResult
from genlib.params import expand_dotted, flatten_dotted
from genlib.runs import read_model_results

WORKSPACE = "workspace"
COMPARED_SECTIONS = ("model", "objective", "train")
MAX_PANELS = 24  # of the figure
OUTCOMES = ("better", "worse", "cannot tell")
SIDE_COLOR, REAL_COLOR, OUTCOME_COLORS = "#6d675f", "#24211d", {"better": "#5a8a4f", "worse": "#c8442f"}


class EvaluationId(NamedTuple):
    """What numbers are of, which only compare where it is the same."""

    data: str
    classifier: str
    images: str

    @classmethod
    def of_card(cls, card: Mapping[str, Any]) -> Self:
        classifier = (card.get("judge") or {}).get("sha256", "")
        return cls(str(card.get("data_sha256", "")), str(classifier), str(card.get("n", "")))

    def differences(self, other: Self) -> list[str]:
        words = ("other data", "another classifier", "another number of images")
        return [word for word, a, b in zip(words, self, other, strict=True) if a != b]


class RunSet(NamedTuple):
    """One side, by model."""

    params: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, Mapping[str, MetricResult]]
    evaluation_ids: Mapping[str, EvaluationId]


class MetricDiff(NamedTuple):
    """One metric of one model on both sides."""

    model: str
    metric: str
    a: MetricResult
    b: MetricResult
    difference: Difference

    @property
    def outcome(self) -> str:
        return self.difference.outcome

    def __str__(self) -> str:
        sides = f"{format_result(self.a)} -> {format_result(self.b)}"
        return f"{self.model} {self.metric}: {self.outcome}: {sides}, {self.difference}"

    def to_json(self) -> dict[str, Any]:
        sides = (
            {part: getattr(side, part) for part in ("value", "low", "high", "null", "n")} for side in (self.a, self.b)
        )
        return {
            "model": self.model,
            "metric": self.metric,
            "outcome": self.outcome,
            **dict(zip("ab", sides, strict=True)),
            "difference": asdict(self.difference),
        }


class RunDiff(NamedTuple):
    """`params`: key -> both values; `metric_diffs`: every metric that both sides have."""

    params: Mapping[str, tuple[Any, Any]]
    metric_diffs: list[MetricDiff]
    notes: list[str]

    @property
    def changed_metrics(self) -> list[MetricDiff]:
        return [each for each in self.metric_diffs if each.outcome in OUTCOME_COLORS]

    def to_json(self) -> dict[str, Any]:
        metrics = [each.to_json() for each in self.metric_diffs]
        return {
            "params": {key: list(both) for key, both in self.params.items()},
            "metrics": metrics,
            "notes": self.notes,
        }


def diff(a: str, b: str, figure: Path, as_json: bool) -> None:
    """Say what changed between two sets of runs, and what got better."""
    run_diff = compare_runs(*read_sides(a, b))
    print(json.dumps(run_diff.to_json(), indent=2) if as_json else "\n".join(format_lines(run_diff)))
    if run_diff.changed_metrics:
        draw_figure(run_diff.changed_metrics, figure, a, b)
        print(f"{figure}: what changed", file=sys.stderr if as_json else sys.stdout)


def read_sides(a: str, b: str) -> tuple[RunSet, RunSet]:
    missing = [name for name in (a, b) if not Path(name).is_dir()]
    if len(missing) == 1:
        raise InputError(f"{missing[0]}: got no such folder, expected two folders of runs, or two revisions")
    return read_revisions(a, b) if missing else (read_folder(Path(a)), read_folder(Path(b)))


def read_folder(folder: Path) -> RunSet:
    runs = folder if (folder / "evaluate").is_dir() or (folder / "train").is_dir() else folder / "runs"
    names = sorted({path.name for stage in ("train", "evaluate") for path in (runs / stage).glob("*") if path.is_dir()})
    if not names:
        raise InputError(f"{folder}: got no runs/train or runs/evaluate with a model, expected a folder of runs")
    models = [read_model_results(runs, name, with_tuning=False) for name in names]
    return RunSet(
        {m.name: {section: m.config.get(section, {}) for section in COMPARED_SECTIONS} for m in models if m.config},
        {m.name: m.metrics for m in models if m.metrics},
        {m.name: EvaluationId.of_card(m.card) for m in models if m.card},
    )


def read_revisions(a: str, b: str) -> tuple[RunSet, RunSet]:
    metrics = _run_dvc_diff("metrics", a, b, "--all", "--targets", "runs/evaluate")
    params = _run_dvc_diff("params", a, b)
    return _parse_side(metrics, params, "old"), _parse_side(metrics, params, "new")


def _parse_side(metrics: Mapping[str, Any], params: Mapping[str, Any], side: str) -> RunSet:
    results: dict[str, dict[str, MetricResult]] = {}
    evaluation_ids: dict[str, EvaluationId] = {}
    for file, changes in sorted(metrics.items()):  # DVC lists them in no order
        *_, stage, model, name = ("", "", *Path(file).parts)
        if (stage, name) != ("evaluate", "metrics.json"):
            continue
        content = expand_dotted({key: each[side] for key, each in changes.items() if each.get(side) is not None})
        if entries := content.get("metrics"):
            results[model] = {metric: MetricResult.from_json(parts) for metric, parts in sorted(entries.items())}
        if content.get("card"):
            evaluation_ids[model] = EvaluationId.of_card(content["card"])
    changed = {key: each.get(side) for values in params.values() for key, each in values.items()}
    return RunSet({"": changed}, results, evaluation_ids)


def _run_dvc_diff(kind: str, a: str, b: str, *options: str) -> dict[str, Any]:
    revisions = [each for each in (a, b) if each != WORKSPACE]
    command = [sys.executable, "-m", "dvc", kind, "diff", "--json", *revisions, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[0].removeprefix("ERROR: ")
        raise InputError(f"{a} and {b}: got from DVC: {reason}, expected two revisions with metrics, or two folders")
    content: dict[str, Any] = json.loads(done.stdout or "{}")
    return content


def compare_runs(a: RunSet, b: RunSet) -> RunDiff:
    before, after = flatten_dotted(a.params), flatten_dotted(b.params)
    shared = a.params.keys() & b.params.keys()
    keys = [key for key in {**before, **after} if key.partition(".")[0] in shared]
    params = {key.lstrip("."): (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}
    reasons = {name: reason for name in a.evaluation_ids if (reason := _why_incomparable(a, b, name))}
    metric_diffs = [
        MetricDiff(model, metric, one, other, _compare(metric, one, other, reasons.get(model)))
        for model in a.metrics
        for metric, one in a.metrics[model].items()
        if (other := b.metrics.get(model, {}).get(metric)) is not None
    ]
    notes = [f"{name}: evaluated in A only" for name in a.metrics if name not in b.metrics]
    notes += [f"{name}: evaluated in B only" for name in b.metrics if name not in a.metrics]
    notes += [f"{name}: {reason}, so its numbers do not compare" for name, reason in reasons.items()]
    return RunDiff(params, metric_diffs, notes)


def _why_incomparable(a: RunSet, b: RunSet, model: str) -> str:
    one = a.evaluation_ids[model]
    found = one.differences(b.evaluation_ids.get(model, one))
    return " and ".join(found) + " on each side" if found else ""


def _compare(metric: str, a: MetricResult, b: MetricResult, reason: str | None) -> Difference:
    return Difference(note=reason) if reason else compare_results(metric, a, b)


def format_lines(run_diff: RunDiff) -> list[str]:
    """A line for each changed param and each metric, and how many are better and worse."""
    lines = [f"{key}: {a} -> {b}" for key, (a, b) in run_diff.params.items()] or ["no param differs"]
    lines += map(str, run_diff.metric_diffs)
    for model in dict.fromkeys(each.model for each in run_diff.metric_diffs):
        counts = Counter(each.outcome for each in run_diff.metric_diffs if each.model == model)
        parts = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES if counts[outcome])
        lines.append(f"{model}: of {counts.total()} metrics {parts}")
    if not run_diff.metric_diffs:
        lines.append("no model is evaluated on both sides")
    return lines + run_diff.notes


def format_result(result: MetricResult) -> str:
    interval = "" if result.low is None or result.high is None else f" [{result.low:.4g}, {result.high:.4g}]"
    return "none" if result.value is None else f"{result.value:.4g}{interval}"


def draw_figure(metric_diffs: list[MetricDiff], path: Path, a: str, b: str) -> None:
    """A panel for each metric that changed: both values with their intervals, and a line for real images."""
    from matplotlib.figure import Figure

    panels = metric_diffs[:MAX_PANELS]
    columns = min(4, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(2.6 * columns, 1.9 * rows + 0.5), dpi=120, layout="constrained")
    figure.suptitle(f"A: {a}    B: {b}    dashed: real images", fontsize=8)
    for index, each in enumerate(panels, 1):
        axes = figure.add_subplot(rows, columns, index)
        for height, (side, color) in enumerate(((each.b, OUTCOME_COLORS[each.outcome]), (each.a, SIDE_COLOR))):
            axes.plot(side.bounds, [height, height], color=color, linewidth=2)
            axes.plot(float(side.value or 0.0), height, "o", color=color, markersize=5)
        if each.a.null is not None:
            axes.axvline(each.a.null, color=REAL_COLOR, linewidth=0.8, linestyle="--")
        axes.set_yticks([0, 1], ["B", "A"], fontsize=7)
        axes.set_ylim(-0.6, 1.6)
        axes.tick_params(axis="x", labelsize=6)
        axes.set_title(f"{each.model}: {each.metric.replace('_', ' ')}, {each.outcome}", fontsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    require_writable(path, "--figure")
    with atomic_path(path) as partial:
        figure.savefig(partial, format="png")
