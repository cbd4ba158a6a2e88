"""Models against metrics: as rows for other programs, and as tables for the reader.

A value is never shown without its interval and what real images score at the same n, and struck through where the
metric failed a control. Each question has its tables; models that share one of its metrics share a table; a tuned model
stands beside its default under the name `<model>+tuned`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from genlib.formatting import DASH, interval, label, number
from genlib.metrics.questions import OTHER, QUESTIONS, by_question, question, way
from genlib.metrics.registry import catalogue, find
from genlib.metrics.result import Measure
from genlib.runs import Measures, Results

COLUMNS = ("model", "seed", "metric", "value", "low", "high", "null", "n")
TUNED = "+tuned"
WAYS = {"_a2b": ("A", "B"), "_b2a": ("B", "A")}


def rows(results: Results) -> Iterator[dict[str, Any]]:
    """The leaderboard in long form: a row per model, seed and metric."""
    for model in results.models:
        yield from _rows(model.name, model.seed, model.measures)
        seeds = model.comparison.tuned_seeds if model.comparison else {}
        for seed, measures in seeds.items():
            yield from _rows(model.name + TUNED, seed, measures)


def _rows(model: str, seed: int | str | None, measures: Measures) -> Iterator[dict[str, Any]]:
    for metric, found in measures.items():
        named = {"model": model, "seed": seed, "metric": metric}
        yield named | {key: getattr(found, key) for key in COLUMNS[3:]}


def better(metric: str) -> str:
    """ "higher", "lower", "real", or "" for a metric that there is no more."""
    name, _ = way(metric)
    return find(name).better if name in catalogue() else ""


def meaning(metric: str) -> str:
    """The first paragraph of the metric's definition, and which way of a translator it is of."""
    name, ending = way(metric)
    text = (find(name).compute.__doc__ or "") if name in catalogue() else ""
    sentence = "Of images of {} translated to {}.".format(*WAYS[ending]) if ending else ""
    return " ".join([*text.split("\n\n")[0].split(), *sentence.split()])


@dataclass(frozen=True)
class Cell:
    """`reason`: why there is no value, or why it is `struck` through; `note`: the number of that below the table."""

    text: str = ""
    interval: str = ""
    null: str = ""
    best: bool = False
    reason: str = ""
    note: int = 0
    struck: bool = False


@dataclass(frozen=True)
class Row:
    """`null` is what real images score where that is one number for the whole row; else each cell says its own."""

    metric: str
    better: str
    cells: Sequence[Cell]
    null: Cell


@dataclass
class Table:
    models: Sequence[str]
    question: str = ""
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: set[int] = field(default_factory=set)

    @property
    def place(self) -> int:
        """Where its question stands among all."""
        return [*QUESTIONS, OTHER].index(self.question)

    @property
    def ranked(self) -> bool:
        """Whether any value is shown as the best of its row."""
        return any(cell.best for row in self.rows for cell in row.cells)

    def note(self, reason: str) -> int:
        """The number, from 1, of a reason below this table."""
        if reason not in self.notes:
            self.notes.append(reason)
        return self.notes.index(reason) + 1


def tables(results: Results) -> list[Table]:
    """The tables of all models that were judged: question by question, of each question that of most models first.

    The two ways of a translator are two columns, in tables of translators.
    """
    made: list[Table] = []
    entrants, ways = _entrants(results), _ways(results)
    for asked in (*QUESTIONS, OTHER):
        for kind in (entrants, ways):
            answers = {name: _answers(found, asked) for name, found in kind.items()}
            groups = sorted(_groups(answers), key=len, reverse=True)
            made += [table({name: answers[name] for name in group}, asked) for group in groups]
    return made


def _entrants(results: Results) -> Mapping[str, Measures]:
    """What each model, and each tuned one, got where it has no ways."""
    found: dict[str, Measures] = {}
    for model in results.models:
        found[model.name] = model.measures
        if model.comparison:
            found[model.name + TUNED] = model.comparison.tuned
    return {model: {name: each for name, each in of.items() if not way(name)[1]} for model, of in found.items()}


def _ways(results: Results) -> Mapping[str, Measures]:
    """What each way of each translator got, under the plain names of the metrics."""
    found: dict[str, dict[str, Measure]] = {}
    for model in results.models:
        for name, measure in model.measures.items():
            metric, ending = way(name)
            if ending:
                found.setdefault("{} {} to {}".format(model.name, *WAYS[ending]), {})[metric] = measure
    return found


def _answers(measures: Measures, asked: str) -> Measures:
    return {metric: measure for metric, measure in measures.items() if question(metric) == asked}


def _groups(entrants: Mapping[str, Measures]) -> list[list[str]]:
    """Names by table: two that have a metric in common, or a third in common, go together."""
    groups: list[tuple[list[str], set[str]]] = []
    for name, measures in entrants.items():
        near = [group for group in groups if group[1] & measures.keys()]
        names = [*(one for group in near for one in group[0]), name]
        metrics = set(measures).union(*(group[1] for group in near))
        groups = [group for group in groups if group not in near] + [(names, metrics)]
    return [names for names, metrics in groups if metrics]


def table(entrants: Mapping[str, Measures], asked: str = "") -> Table:
    """One table: a column per entrant, a row per metric that any of them has, in the order of questions."""
    made = Table(list(entrants), asked)
    names = dict.fromkeys(name for measures in entrants.values() for name in measures)
    for metric in (name for group in by_question(names).values() for name in group):
        made.rows.append(_row(made, metric, [measures.get(metric) for measures in entrants.values()]))
    return made


def _row(table: Table, metric: str, measures: Sequence[Measure | None]) -> Row:
    known = [found for found in measures if found is not None]
    table.counts |= {found.n for found in known}
    nulls = [null_cell(table, found) for found in known]
    shared = len(set(nulls)) == 1
    best = _best(metric, known)
    cells = [_cell(table, metric, found, best, shared) for found in measures]
    return Row(metric, better(metric), cells, nulls[0] if shared else Cell())


def _best(metric: str, known: Sequence[Measure]) -> float | None:
    """The best merit of several that are to be believed and stand beside one null, where what is better is known."""
    merits = [merit for found in known if (merit := _merit(metric, found)) is not None]
    if len(merits) < 2 or len({found.null for found in known}) > 1:
        return None
    return {"higher": max, "lower": min, "real": max}.get(better(metric), lambda _: None)(merits)


def _merit(metric: str, found: Measure) -> float | None:
    """The value, but not better than what real images get; where those are best, how near it comes to theirs."""
    if found.value is None or found.null is None or found.doubt:
        return None if found.doubt else found.value
    if better(metric) == "real":
        return -abs(found.value - found.null)
    return {"higher": min, "lower": max}.get(better(metric), max)(found.value, found.null)


def _cell(table: Table, metric: str, found: Measure | None, best: float | None, shared: bool) -> Cell:
    if found is None:
        return Cell()
    null = "" if shared else number(found.null)
    if found.value is None:
        return _dash(table, found.detail, null)
    text = ("over " if found.detail.get("more_than") else "") + number(found.value)
    ends = interval(found.low, found.high)
    if found.doubt is None:
        return Cell(text, ends, null, best=best is not None and _merit(metric, found) == best)
    reason = f"{label(metric)} is not to be believed: {found.doubt}"
    return Cell(text, ends, null, reason=reason, note=table.note(reason), struck=True)


def null_cell(table: Table, found: Measure) -> Cell:
    """What real images score, or why that is not known."""
    detail = found.detail.get("null") or {}
    if found.null is None:
        return _dash(table, detail)
    text = ("over " if detail.get("more_than") else "") + number(found.null)
    return Cell(text, interval(detail.get("low"), detail.get("high")))


def _dash(table: Table, detail: Mapping[str, Any], null: str = "") -> Cell:
    reason = str(detail.get("reason", "no reason was given"))
    return Cell(DASH, null=null, reason=reason, note=table.note(reason))


def outcome(metric: str, default: Measure, tuned: Measure) -> str:
    """What tuning did to one metric, said only as far as the intervals allow."""
    ends = (default.low, default.high, tuned.low, tuned.high)
    if None in ends or default.doubt or tuned.doubt or not better(metric):
        return ""
    low, high, tuned_low, tuned_high = (float(end or 0) for end in ends)
    if tuned_low <= high and low <= tuned_high:
        return "intervals overlap"
    before, after = _merit(metric, default), _merit(metric, tuned)
    if better(metric) == "real" and before is not None and after is not None:
        gained = after > before
    else:
        gained = (tuned_low > high) == (better(metric) == "higher")
    return "tuned is better" if gained else "default is better"


def described(name: str, measures: Measures) -> str:
    """The metrics of one model in words, for those who cannot see the chart."""
    parts = []
    for metric, found in measures.items():
        real = f", real images {number(found.null)}" if found.null is not None else ""
        doubt = " (not to be believed)" if found.doubt else ""
        parts.append(f"{label(metric)} {number(found.value)}{real}{doubt}")
    return f"Metrics of {name}: {'; '.join(parts)}."
