"""A file of docs/results as Markdown: an overview with a row per model, or every metric question by question.

Cells are those of the leaderboard: the best is bold, and what failed a control is struck through. A model whose code
has changed since it was measured is marked *stale*.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genlib.formatting import DASH, display_name
from genlib.metrics.registry import DIRECTIONS, split_direction
from genlib.metrics.result import MetricResult
from genlib.report.leaderboard import DIRECTION_DOMAINS, Cell, Table, build_table, build_tables
from genlib.runs import ModelResults, Results
from pipelines.code_digest import UNKNOWN, code_digest

OVERVIEW = ("inception_score", "coverage", "accuracy", *(f"label_preservation{suffix}" for suffix in DIRECTIONS))
Record = Mapping[str, Any]
Names = Mapping[str, str]


def format_overview(root: Path, record: Record) -> str:
    """A row per model: a few metrics, and the answers of its verdicts."""
    models = parse_models(record)
    metrics = {
        model.name: {name: model.metrics[name] for name in OVERVIEW if name in model.metrics} for model in models
    }
    table, questions, names = build_table(metrics), list_questions(record), title_models(root, record)
    head = ["model", *(_title_metric(row.metric) for row in table.rows), *questions]
    rows = [["*real images*", *(_format_value(row.baseline) for row in table.rows), *("" for _ in questions)]]
    for index, model in enumerate(table.models):
        values = [_format_value(row.cells[index]) for row in table.rows]
        rows.append([names[model], *values, *list_answers(record, model, questions)])
    return _join(format_rows(head, rows), describe_origin(record, names))


def format_metrics(root: Path, record: Record) -> str:
    """A table per question of metrics against models, and one of the verdicts."""
    names = title_models(root, record)
    tables = [format_table(table, names) for table in build_tables(Results(record["data"], parse_models(record)))]
    return _join(*tables, format_verdicts(record, names), describe_origin(record, names))


KINDS = {"overview": format_overview, "metrics": format_metrics}


def format_table(table: Table, names: Names) -> str:
    """Metrics against models and real images; below, by number, why values are missing or struck through."""
    columns = [names.get(name) or name.replace(model, names[model], 1) for name, model in _models_of(table)]
    cited = sorted({cell.note_number for row in table.rows for cell in row.cells} - {0})
    marks = {0: ""} | {number: f"[{mark}]" for mark, number in enumerate(cited, 1)}
    rows = []
    for row in table.rows:
        cells = [_format_cell(cell, marks[cell.note_number]) for cell in row.cells]
        rows.append([display_name(row.metric), *cells, _format_value(row.baseline)])
    notes = "  \n".join(f"{marks[number]} {table.notes[number - 1]}" for number in cited)
    return "\n\n".join(filter(None, [format_rows([table.question, *columns, "real images"], rows), notes]))


def _models_of(table: Table) -> list[tuple[str, str]]:
    """Each column with its model: the column `cyclegan A to B` is of `cyclegan`."""
    return [(name, name.partition(" ")[0]) for name in table.models]


def format_verdicts(record: Record, names: Names) -> str:
    """Models against questions; empty where no model makes images."""
    questions = list_questions(record)
    rows = [[names[model], *list_answers(record, model, questions)] for model in record["models"]]
    return format_rows(["verdicts", *questions], [row for row in rows if any(row[1:])]) if questions else ""


def list_questions(record: Record) -> list[str]:
    """Those of the verdicts, in their order, whatever they are."""
    verdicts = [verdict for entry in record["models"].values() for verdict in entry["verdicts"].values()]
    return list(dict.fromkeys(verdict["question"] for verdict in verdicts))


def list_answers(record: Record, model: str, questions: Iterable[str]) -> list[str]:
    answers = {each["question"]: each["answer"] for each in record["models"][model]["verdicts"].values()}
    return [answers.get(question, "") for question in questions]


def title_models(root: Path, record: Record) -> dict[str, str]:
    """By model: its name, and whether it is stale."""
    models, nets = record["models"], record["nets"]
    current = {name for name, entry in models.items() if entry["code"] == code_digest(root, name, nets) != UNKNOWN}
    return {name: f"`{name}`" if name in current else f"`{name}` *stale*" for name in models}


def describe_origin(record: Record, names: Names) -> str:
    """Where the numbers come from; models of one origin in one line."""
    counts = ", ".join(f"{count:,} {part}" for part, count in record["data"]["counts"].items())
    origins: dict[str, list[str]] = {}
    for name, entry in record["models"].items():
        origins.setdefault(_describe_entry(entry), []).append(name)
    lines = [f"`{record['command']}`, {record['date']}: {counts} images."]
    for origin, models in origins.items():
        lines.append(f"{origin}." if len(origins) == 1 else f"{', '.join(f'`{name}`' for name in models)}: {origin}.")
    if any("*stale*" in name for name in names.values()):
        lines.append("*Stale*: the code of the model or of its evaluation has changed since.")
    return "\n".join(lines)


def _describe_entry(entry: Mapping[str, Any]) -> str:
    seeds = ", ".join(map(str, entry["seeds"]))
    changes = " with uncommitted changes" if entry["dirty"] == "true" else ""
    commit = f"commit {entry['commit'][:7]}{changes}"
    return f"n = {entry['n']:,}, seed{'s' * (len(entry['seeds']) > 1)} {seeds}, {commit}, {entry['processor']}"


def parse_models(record: Record) -> list[ModelResults]:
    return [
        ModelResults(name, metrics={key: MetricResult.from_json(each) for key, each in entry["metrics"].items()})
        for name, entry in record["models"].items()
    ]


def _title_metric(name: str) -> str:
    metric, suffix = split_direction(name)
    return display_name(metric) + (" {} to {}".format(*DIRECTION_DOMAINS[suffix]) if suffix else "")


def _format_cell(cell: Cell, note: str) -> str:
    """A value or a dash, what real images get where the row has no single one, and the mark of a note."""
    baseline = f"real: {cell.baseline}" if cell.baseline not in ("", DASH) else ""
    return " ".join(filter(None, (_format_value(cell) or cell.text, baseline, note)))


def _format_value(cell: Cell) -> str:
    """A value with its interval; empty where there is none."""
    if cell.text in ("", DASH):
        return ""
    text = f"~~{cell.text}~~" if cell.struck_through else f"**{cell.text}**" if cell.is_best else cell.text
    return f"{text} ({cell.interval})" if cell.interval else text


def format_rows(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _join(*parts: str) -> str:
    """Paragraphs with empty lines around them."""
    return "".join(f"\n{part}\n" for part in parts if part) + "\n"
