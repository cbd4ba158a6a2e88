"""Models against metrics, as rows for other programs and as tables for the reader, and metrics against controls.

Each value has its interval and the baseline of real images at the same n, and is struck through where the metric failed
a control. Models that share a metric of a question share a table; tuned models are named `<model>+tuned`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

from genlib.formatting import DASH, display_name, format_interval, format_number
from genlib.metrics.registry import (
    CONTROL_LABELS,
    QUESTIONS,
    discover_metrics,
    get_metric,
    group_by_question,
    question_of,
    split_direction,
)
from genlib.metrics.result import MetricResult
from genlib.runs import ModelResults, Results, ResultsByMetric

COLUMNS = ("model", "seed", "metric", "value", "low", "high", "null", "n")
TUNED_SUFFIX = "+tuned"
DIRECTION_DOMAINS = {"_a2b": ("A", "B"), "_b2a": ("B", "A")}
SHIFT_WORDS = {
    "lower": "lower",
    "higher": "higher",
    "not lower": "not lower",
    "not higher": "not higher",
    "count": "their number",
}


def iter_rows(results: Results) -> Iterator[dict[str, Any]]:
    """The leaderboard in long form: a row per model, seed and metric."""
    for model in results.models:
        tuned = model.comparison.tuned_by_seed if model.comparison else {}
        columns: dict[tuple[str, Any], ResultsByMetric] = {(model.name, model.seeds): model.metrics}
        columns |= {(model.name + TUNED_SUFFIX, seed): metrics for seed, metrics in tuned.items()}
        for (name, seed), metrics in columns.items():
            for metric, result in metrics.items():
                values = {key: getattr(result, key) for key in COLUMNS[3:]}
                yield {"model": name, "seed": seed, "metric": metric, **values}


def better_direction(metric: str) -> str:
    """ "higher", "lower", "real", or "" for a metric that no longer exists."""
    name, _ = split_direction(metric)
    return get_metric(name).better if name in discover_metrics() else ""


def describe_metric(metric: str) -> str:
    """The metric's sentence for the page, and which direction of a translator it is of."""
    name, suffix = split_direction(metric)
    summary = get_metric(name).summary if name in discover_metrics() else ""
    direction = "Of images of {} translated to {}.".format(*DIRECTION_DOMAINS[suffix]) if suffix else ""
    return f"{summary} {direction}".strip()


class Cell(NamedTuple):
    """`baseline`: what real images score, where the row has no single one; `reason`: why there is no value, or why it
    is struck through; `note_number`: of that reason below the table."""

    text: str = ""
    interval: str = ""
    baseline: str = ""
    is_best: bool = False
    reason: str = ""
    note_number: int = 0
    struck_through: bool = False


class Row(NamedTuple):
    """`baseline`: what real images score where that is one number for the whole row; else each cell has its own."""

    metric: str
    better: str
    cells: Sequence[Cell]
    baseline: Cell


@dataclass
class Table:
    models: Sequence[str]
    question: str = ""
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sample_sizes: set[int] = field(default_factory=set)

    @property
    def question_order(self) -> int:
        return QUESTIONS.index(self.question)

    @property
    def has_best(self) -> bool:
        return any(cell.is_best for row in self.rows for cell in row.cells)

    def add_note(self, reason: str) -> int:
        """The number, from 1, of a reason below this table."""
        if reason not in self.notes:
            self.notes.append(reason)
        return self.notes.index(reason) + 1


def build_tables(results: Results) -> list[Table]:
    """Question by question, of each question that of most models first. The two directions of a translator are two
    columns, in tables of translators."""
    tables = []
    undirected, directed = _split_by_direction(results)
    for question in QUESTIONS:
        for columns in (undirected, directed):
            answers = {
                model: {metric: result for metric, result in metrics.items() if question_of(metric) == question}
                for model, metrics in columns.items()
            }
            groups = sorted(_group_by_shared_metrics(answers), key=len, reverse=True)
            tables += [build_table({model: answers[model] for model in group}, question) for group in groups]
    return tables


def _split_by_direction(results: Results) -> tuple[Mapping[str, ResultsByMetric], Mapping[str, ResultsByMetric]]:
    """By column: the results of each model and each tuned one, and of each direction of each translator, the latter
    under the plain names of the metrics."""
    undirected: dict[str, ResultsByMetric] = {}
    directed: dict[str, ResultsByMetric] = {}
    for model in results.models:
        tuned = {model.name + TUNED_SUFFIX: model.comparison.tuned} if model.comparison else {}
        for column, metrics in {model.name: model.metrics, **tuned}.items():
            undirected[column] = {name: result for name, result in metrics.items() if not split_direction(name)[1]}
        for suffix, domains in DIRECTION_DOMAINS.items():
            named = {name: result for name, result in model.metrics.items() if name.endswith(suffix)}
            if named:
                column = "{} {} to {}".format(model.name, *domains)
                directed[column] = {name.removesuffix(suffix): result for name, result in named.items()}
    return undirected, directed


def _group_by_shared_metrics(metrics_by_model: Mapping[str, ResultsByMetric]) -> list[list[str]]:
    """Models by table: those that have a metric in common, if only by way of a third, go together."""
    groups: list[tuple[list[str], set[str]]] = []
    for model, results in metrics_by_model.items():
        overlapping = [group for group in groups if group[1] & results.keys()]
        models = [*(name for group in overlapping for name in group[0]), model]
        metrics = set(results).union(*(group[1] for group in overlapping))
        groups = [group for group in groups if group not in overlapping] + [(models, metrics)]
    return [models for models, metrics in groups if metrics]


def build_table(metrics_by_model: Mapping[str, ResultsByMetric], question: str = "") -> Table:
    """One table: a column per model, a row per metric that any of them has, in the order of questions."""
    table = Table(list(metrics_by_model), question)
    names = dict.fromkeys(metric for results in metrics_by_model.values() for metric in results)
    for metric in chain(*group_by_question(names).values()):
        table.rows.append(_build_row(table, metric, [results.get(metric) for results in metrics_by_model.values()]))
    return table


def _build_row(table: Table, metric: str, results: Sequence[MetricResult | None]) -> Row:
    available = [result for result in results if result is not None]
    table.sample_sizes |= {result.n for result in available}
    baselines = [_value_cell(table, result.null, result.detail.get("null") or {}) for result in available]
    shared = len(set(baselines)) == 1
    best = _best_merit(metric, available)
    cells = [Cell() if result is None else _result_cell(table, metric, result, best, shared) for result in results]
    return Row(metric, better_direction(metric), cells, baselines[0] if shared else Cell())


def _best_merit(metric: str, results: Sequence[MetricResult]) -> float | None:
    """The best of several merits beside one baseline, where it is known what is better."""
    merits = [merit for result in results if (merit := _merit(metric, result)) is not None]
    if len(merits) < 2 or len({result.null for result in results}) > 1:
        return None
    return {"higher": max, "lower": min, "real": max}.get(better_direction(metric), lambda _: None)(merits)


def _merit(metric: str, result: MetricResult) -> float | None:
    """The value, but not better than what real images get; where those are best, how near it comes to theirs."""
    if result.failed_control or result.value is None or result.null is None:
        return None if result.failed_control else result.value
    if better_direction(metric) == "real":
        return -abs(result.value - result.null)
    return {"higher": min, "lower": max}.get(better_direction(metric), max)(result.value, result.null)


def _result_cell(table: Table, metric: str, result: MetricResult, best_merit: float | None, shared: bool) -> Cell:
    """`shared`: the row gives the baseline."""
    cell = _value_cell(table, result.value, {**result.detail, "low": result.low, "high": result.high})
    changes: dict[str, Any] = {} if shared else {"baseline": format_number(result.null)}
    if result.value is not None and result.failed_control:
        reason = f"{display_name(metric)} is not to be believed: {result.failed_control}"
        changes |= {"reason": reason, "note_number": table.add_note(reason), "struck_through": True}
    elif result.value is not None:
        changes["is_best"] = best_merit is not None and _merit(metric, result) == best_merit
    return cell._replace(**changes)


def _value_cell(table: Table, value: float | None, detail: Mapping[str, Any]) -> Cell:
    """A value with its interval, or the reason why there is none; both are in `detail`."""
    if value is None:
        reason = str(detail.get("reason", "no reason was given"))
        return Cell(DASH, reason=reason, note_number=table.add_note(reason))
    text = ("over " if detail.get("more_than") else "") + format_number(value)
    return Cell(text, format_interval(detail.get("low"), detail.get("high")))


def describe_results(model: str, metrics: ResultsByMetric) -> str:
    """The metrics of one model in words, for those who cannot see the chart."""
    parts = []
    for metric, result in metrics.items():
        real = f", real images {format_number(result.null)}" if result.null is not None else ""
        doubt = " (not to be believed)" if result.failed_control else ""
        parts.append(f"{display_name(metric)} {format_number(result.value)}{real}{doubt}")
    return f"Metrics of {model}: {'; '.join(parts)}."


class ControlCell(NamedTuple):
    """`expected`: what the fault must do to the metric, "" where that need not detect it; `failure`: how it did not."""

    text: str = ""
    interval: str = ""
    expected: str = ""
    failure: str = ""


class ControlRow(NamedTuple):
    """One metric on every control, in the order of CONTROL_LABELS; `baseline`: its value on real images."""

    metric: str
    baseline: str
    cells: Sequence[ControlCell]
    n: int


def build_control_rows(models: Iterable[ModelResults]) -> list[ControlRow]:
    """A row per metric that has controls, of the first model that has it: the faults are the same for all."""
    rows: dict[str, ControlRow] = {}
    for model in models:
        for name, result in model.metrics.items():
            metric, controls = split_direction(name)[0], result.detail.get("controls")
            if controls and metric not in rows:
                first = next(iter(controls.values()))
                cells = [_control_cell(**controls.get(control, {})) for control in CONTROL_LABELS]
                rows[metric] = ControlRow(metric, format_number(first["real"]), cells, first["n"])
    return [rows[name] for name in chain(*group_by_question(rows).values())]


def _control_cell(must: str = "", value: Any = None, low: Any = None, high: Any = None, **facts: Any) -> ControlCell:
    """Empty for a control that the metric was not given."""
    if not must:
        return ControlCell()
    return ControlCell(format_number(value), format_interval(low, high), SHIFT_WORDS[must], facts.get("failed") or "")
