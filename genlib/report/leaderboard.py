"""Models against metrics: as rows for other programs, and as tables for the reader.

A value is never shown without its interval and what real images score at the same n, and struck through where the
metric failed a control. Each question has its tables; models that share one of its metrics share a table; a tuned model
stands beside its default under the name `<model>+tuned`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genlib.formatting import DASH, display_name, format_interval, format_number
from genlib.metrics.questions import QUESTIONS, split_direction
from genlib.metrics.registry import discover_metrics, get_metric, group_by_question, question_of
from genlib.metrics.result import MetricResult
from genlib.runs import Results, ResultsByMetric

COLUMNS = ("model", "seed", "metric", "value", "low", "high", "null", "n")
TUNED_SUFFIX = "+tuned"
DIRECTION_DOMAINS = {"_a2b": ("A", "B"), "_b2a": ("B", "A")}


def iter_rows(results: Results) -> Iterator[dict[str, Any]]:
    """The leaderboard in long form: a row per model, seed and metric."""
    for model in results.models:
        yield from _model_rows(model.name, model.seed, model.metrics)
        seeds = model.comparison.tuned_by_seed if model.comparison else {}
        for seed, measures in seeds.items():
            yield from _model_rows(model.name + TUNED_SUFFIX, seed, measures)


def _model_rows(model: str, seed: int | str | None, metrics: ResultsByMetric) -> Iterator[dict[str, Any]]:
    for metric, found in metrics.items():
        named = {"model": model, "seed": seed, "metric": metric}
        yield named | {key: getattr(found, key) for key in COLUMNS[3:]}


def better_direction(metric: str) -> str:
    """ "higher", "lower", "real", or "" for a metric that there is no more."""
    name, _ = split_direction(metric)
    return get_metric(name).better if name in discover_metrics() else ""


def describe_metric(metric: str) -> str:
    """The metric's sentence for the page, and which direction of a translator it is of."""
    name, suffix = split_direction(metric)
    summary = get_metric(name).summary if name in discover_metrics() else ""
    direction = "Of images of {} translated to {}.".format(*DIRECTION_DOMAINS[suffix]) if suffix else ""
    return f"{summary} {direction}".strip()


@dataclass(frozen=True)
class Cell:
    """`reason`: why there is no value, or why it is `struck` through; `note`: the number of that below the table."""

    text: str = ""
    interval: str = ""
    baseline: str = ""
    is_best: bool = False
    reason: str = ""
    note_number: int = 0
    struck_through: bool = False


@dataclass(frozen=True)
class Row:
    """`null` is what real images score where that is one number for the whole row; else each cell says its own."""

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
        """Where its question stands among all."""
        return QUESTIONS.index(self.question)

    @property
    def has_best(self) -> bool:
        """Whether any value is shown as the best of its row."""
        return any(cell.is_best for row in self.rows for cell in row.cells)

    def add_note(self, reason: str) -> int:
        """The number, from 1, of a reason below this table."""
        if reason not in self.notes:
            self.notes.append(reason)
        return self.notes.index(reason) + 1


def build_tables(results: Results) -> list[Table]:
    """The tables of all models that were judged: question by question, of each question that of most models first.

    The two ways of a translator are two columns, in tables of translators.
    """
    made: list[Table] = []
    entrants, ways = _undirected_metrics(results), _directed_metrics(results)
    for asked in QUESTIONS:
        for kind in (entrants, ways):
            answers = {name: _metrics_for_question(found, asked) for name, found in kind.items()}
            groups = sorted(_group_by_shared_metrics(answers), key=len, reverse=True)
            made += [build_table({name: answers[name] for name in group}, asked) for group in groups]
    return made


def _undirected_metrics(results: Results) -> Mapping[str, ResultsByMetric]:
    """What each model, and each tuned one, got where it has no ways."""
    found: dict[str, ResultsByMetric] = {}
    for model in results.models:
        found[model.name] = model.metrics
        if model.comparison:
            found[model.name + TUNED_SUFFIX] = model.comparison.tuned
    return {
        model: {name: each for name, each in of.items() if not split_direction(name)[1]} for model, of in found.items()
    }


def _directed_metrics(results: Results) -> Mapping[str, ResultsByMetric]:
    """What each way of each translator got, under the plain names of the metrics."""
    found: dict[str, dict[str, MetricResult]] = {}
    for model in results.models:
        for name, measure in model.metrics.items():
            metric, ending = split_direction(name)
            if ending:
                found.setdefault("{} {} to {}".format(model.name, *DIRECTION_DOMAINS[ending]), {})[metric] = measure
    return found


def _metrics_for_question(metrics: ResultsByMetric, asked: str) -> ResultsByMetric:
    return {metric: measure for metric, measure in metrics.items() if question_of(metric) == asked}


def _group_by_shared_metrics(metrics_by_model: Mapping[str, ResultsByMetric]) -> list[list[str]]:
    """Names by table: two that have a metric in common, or a third in common, go together."""
    groups: list[tuple[list[str], set[str]]] = []
    for name, measures in metrics_by_model.items():
        near = [group for group in groups if group[1] & measures.keys()]
        names = [*(one for group in near for one in group[0]), name]
        metrics = set(measures).union(*(group[1] for group in near))
        groups = [group for group in groups if group not in near] + [(names, metrics)]
    return [names for names, metrics in groups if metrics]


def build_table(metrics_by_model: Mapping[str, ResultsByMetric], asked: str = "") -> Table:
    """One table: a column per entrant, a row per metric that any of them has, in the order of questions."""
    made = Table(list(metrics_by_model), asked)
    names = dict.fromkeys(name for measures in metrics_by_model.values() for name in measures)
    for metric in (name for group in group_by_question(names).values() for name in group):
        made.rows.append(_build_row(made, metric, [measures.get(metric) for measures in metrics_by_model.values()]))
    return made


def _build_row(table: Table, metric: str, results: Sequence[MetricResult | None]) -> Row:
    known = [found for found in results if found is not None]
    table.sample_sizes |= {found.n for found in known}
    nulls = [baseline_cell(table, found) for found in known]
    shared = len(set(nulls)) == 1
    best = _best_merit(metric, known)
    cells = [_build_cell(table, metric, found, best, shared) for found in results]
    return Row(metric, better_direction(metric), cells, nulls[0] if shared else Cell())


def _best_merit(metric: str, results: Sequence[MetricResult]) -> float | None:
    """The best merit of several that are to be believed and stand beside one null, where what is better is known."""
    merits = [merit for found in results if (merit := _merit(metric, found)) is not None]
    if len(merits) < 2 or len({found.null for found in results}) > 1:
        return None
    return {"higher": max, "lower": min, "real": max}.get(better_direction(metric), lambda _: None)(merits)


def _merit(metric: str, result: MetricResult) -> float | None:
    """The value, but not better than what real images get; where those are best, how near it comes to theirs."""
    if result.value is None or result.null is None or result.failed_control:
        return None if result.failed_control else result.value
    if better_direction(metric) == "real":
        return -abs(result.value - result.null)
    return {"higher": min, "lower": max}.get(better_direction(metric), max)(result.value, result.null)


def _build_cell(
    table: Table, metric: str, result: MetricResult | None, best_merit: float | None, shared_baseline: bool
) -> Cell:
    if result is None:
        return Cell()
    null = "" if shared_baseline else format_number(result.null)
    if result.value is None:
        return _missing_cell(table, result.detail, null)
    text = ("over " if result.detail.get("more_than") else "") + format_number(result.value)
    ends = format_interval(result.low, result.high)
    if result.failed_control is None:
        return Cell(text, ends, null, is_best=best_merit is not None and _merit(metric, result) == best_merit)
    reason = f"{display_name(metric)} is not to be believed: {result.failed_control}"
    return Cell(text, ends, null, reason=reason, note_number=table.add_note(reason), struck_through=True)


def baseline_cell(table: Table, result: MetricResult) -> Cell:
    """What real images score, or why that is not known."""
    detail = result.detail.get("null") or {}
    if result.null is None:
        return _missing_cell(table, detail)
    text = ("over " if detail.get("more_than") else "") + format_number(result.null)
    return Cell(text, format_interval(detail.get("low"), detail.get("high")))


def _missing_cell(table: Table, detail: Mapping[str, Any], baseline: str = "") -> Cell:
    reason = str(detail.get("reason", "no reason was given"))
    return Cell(DASH, baseline=baseline, reason=reason, note_number=table.add_note(reason))


def compare_results(metric: str, default: MetricResult, tuned: MetricResult) -> str:
    """What tuning did to one metric, said only as far as the intervals allow."""
    ends = (default.low, default.high, tuned.low, tuned.high)
    if None in ends or default.failed_control or tuned.failed_control or not better_direction(metric):
        return ""
    low, high, tuned_low, tuned_high = (float(end or 0) for end in ends)
    if tuned_low <= high and low <= tuned_high:
        return "intervals overlap"
    before, after = _merit(metric, default), _merit(metric, tuned)
    if better_direction(metric) == "real" and before is not None and after is not None:
        gained = after > before
    else:
        gained = (tuned_low > high) == (better_direction(metric) == "higher")
    return "tuned is better" if gained else "default is better"


def describe_results(name: str, metrics: ResultsByMetric) -> str:
    """The metrics of one model in words, for those who cannot see the chart."""
    parts = []
    for metric, found in metrics.items():
        real = f", real images {format_number(found.null)}" if found.null is not None else ""
        doubt = " (not to be believed)" if found.failed_control else ""
        parts.append(f"{display_name(metric)} {format_number(found.value)}{real}{doubt}")
    return f"Metrics of {name}: {'; '.join(parts)}."
