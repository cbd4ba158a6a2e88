"""What the stages left behind, read into plain values; only models asked for, so that stale folders are not seen.

Whatever a model lacks (a judge has no samples, most have no sweep) is empty here and absent from the page.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genlib.data.dataset import load_dataset
from genlib.errors import InputError
from genlib.metrics.result import MetricResult
from genlib.registry import read_model_config

ResultsByMetric = Mapping[str, MetricResult]
History = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True)
class Comparison:
    """Before judge B: each side over all seeds, and seed by seed."""

    default: ResultsByMetric
    tuned: ResultsByMetric
    tuned_by_seed: Mapping[str, ResultsByMetric]


@dataclass(frozen=True)
class SweepResults:
    """`trials`: the rows of trials.csv as text; `best`: the winning values in best.yaml."""

    trials: Sequence[Mapping[str, str]]
    best_params: Mapping[str, Any]


@dataclass(frozen=True)
class ContactSheet:
    """Images side by side in a PNG file; `says`: how many `rows` and `columns` of them, and what they are."""

    file: Path
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class ModelResults:
    """`history`: by column, None where a report had no value; `figures`: name -> PNG file; `sheets`: by their names."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=dict)
    metrics: ResultsByMetric = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Path] = field(default_factory=dict)
    sheets: Mapping[str, ContactSheet] = field(default_factory=dict)
    sweep: SweepResults | None = None
    comparison: Comparison | None = None

    @property
    def seed(self) -> int | None:
        seed: int | None = self.config.get("train", {}).get("seed")
        return seed


@dataclass(frozen=True)
class Results:
    """`dataset`: the content of dataset.json."""

    dataset: Mapping[str, Any]
    models: Sequence[ModelResults]


def read_results(root: Path, models: Collection[str], tuned_models: Collection[str] = ()) -> Results:
    """What lies in data/prepared and runs of `root` for these models, and sweeps for those of them that are `tuned`.

    Raises:
        InputError: a file is there but is not what its stage writes.
    """
    dataset = load_dataset(root / "data" / "prepared").info
    return Results(dataset, [read_model_results(root / "runs", name, name in tuned_models) for name in models])


def read_model_results(runs: Path, name: str, with_tuning: bool) -> ModelResults:
    """What lies in the folder `runs` of one model, and of its sweep where it is `tuned`."""
    train, evaluate = runs / "train" / name, runs / "evaluate" / name
    judged = _read_json(evaluate / "metrics.json")
    return ModelResults(
        name,
        config=read_model_config(train) if (train / "config.json").exists() else {},
        history=_read_history(train / "history.tsv"),
        metrics=_parse_metrics(judged.get("metrics", {}), evaluate / "metrics.json"),
        card=judged.get("card", {}),
        figures={path.stem: path for path in sorted((evaluate / "figures").glob("*.png"))},
        sheets=read_sheets(evaluate / "figures/sheets"),
        sweep=_read_sweep(runs / "tune" / name, name) if with_tuning else None,
        comparison=_read_comparison(runs / "compare" / name / "metrics.json") if with_tuning else None,
    )


def read_sheets(folder: Path) -> dict[str, ContactSheet]:
    """The sheets in `folder`, by name; none where it is not there."""
    return {path.stem: _read_sheet(path) for path in sorted(folder.glob("*.png"))}


def _read_sheet(path: Path) -> ContactSheet:
    says = _read_json(path.with_suffix(".json"))
    if not all(isinstance(says.get(key), int) and says[key] > 0 for key in ("rows", "columns")):
        raise _wrong_content(path.with_suffix(".json"), "no rows and columns of a sheet")
    return ContactSheet(path, says)


def _read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file; nothing where there is no file."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}), expected the file that its stage writes") from error
    if not isinstance(found, dict):
        raise _wrong_content(path, f"a JSON {type(found).__name__}")
    return found


def _parse_metrics(entries: Any, path: Path) -> dict[str, MetricResult]:
    names = MetricResult.__dataclass_fields__
    try:
        return {
            str(metric): MetricResult(**{key: value for key, value in parts.items() if key in names})
            for metric, parts in entries.items()
        }
    except (AttributeError, TypeError) as error:
        raise _wrong_content(path, f"metrics without their parts ({error})") from error


def _read_comparison(path: Path) -> Comparison | None:
    found = _read_json(path)
    if not found:
        return None
    try:
        sides, seeds = found["metrics"], found["seeds"]["tuned"]
        return Comparison(
            _parse_metrics(sides["default"], path),
            _parse_metrics(sides["tuned"], path),
            {str(seed): _parse_metrics(measures, path) for seed, measures in seeds.items()},
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise _wrong_content(path, f"no comparison of two sides ({error})") from error


def _read_sweep(folder: Path, model: str) -> SweepResults | None:
    from genlib.params import flatten_dotted, read_yaml

    if not (folder / "trials.csv").exists():
        return None
    best = read_yaml(folder / "best.yaml") if (folder / "best.yaml").exists() else {}
    knobs = (best.get("models") or {}).get(model) or {}
    return SweepResults(_read_table(folder / "trials.csv", ",", first_column="trial"), flatten_dotted(knobs))


def _read_history(path: Path) -> dict[str, list[float | None]]:
    if not path.exists():
        return {}
    rows = _read_table(path, "\t", first_column="images_seen")
    try:
        return {name: [float(row[name]) if row[name] else None for row in rows] for name in rows[0]} if rows else {}
    except ValueError as error:
        raise _wrong_content(path, f"what is not a number ({error})") from error


def _read_table(path: Path, delimiter: str, first_column: str) -> list[dict[str, str]]:
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines(), delimiter=delimiter))
    except (OSError, ValueError, csv.Error) as error:
        raise _wrong_content(path, f"no readable table ({error})") from error
    columns, *rows = lines or [[]]
    if columns[:1] != [first_column] or any(len(row) != len(columns) for row in rows):
        raise _wrong_content(path, f"no table whose first column is {first_column} and whose rows are whole")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _wrong_content(path: Path, found: str) -> InputError:
    return InputError(f"{path}: got {found}, expected the file that its stage writes")
