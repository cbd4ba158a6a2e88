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
from genlib.files import read_checked_json
from genlib.metrics.result import Measure

Measures = Mapping[str, Measure]
History = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True)
class Comparison:
    """Before judge B: each side over all seeds, and seed by seed."""

    default: Measures
    tuned: Measures
    tuned_seeds: Mapping[str, Measures]


@dataclass(frozen=True)
class Sweep:
    """`trials`: the rows of trials.csv as text; `best`: the winning values in best.yaml."""

    trials: Sequence[Mapping[str, str]]
    best: Mapping[str, Any]


@dataclass(frozen=True)
class Sheet:
    """Images side by side in a PNG file; `says`: how many `rows` and `columns` of them, and what they are."""

    file: Path
    says: Mapping[str, Any]


@dataclass(frozen=True)
class ModelResults:
    """`history`: by column, None where a report had no value; `figures`: name -> PNG file; `sheets`: by their names."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=dict)
    measures: Measures = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Path] = field(default_factory=dict)
    sheets: Mapping[str, Sheet] = field(default_factory=dict)
    sweep: Sweep | None = None
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


def read_results(root: Path, models: Collection[str], tuned: Collection[str] = ()) -> Results:
    """What lies in data/prepared and runs of `root` for these models, and sweeps for those of them that are `tuned`.

    Raises:
        InputError: a file is there but is not what its stage writes.
    """
    dataset = load_dataset(root / "data" / "prepared").info
    return Results(dataset, [read_model(root / "runs", name, name in tuned) for name in models])


def read_model(runs: Path, name: str, tuned: bool) -> ModelResults:
    """What lies in the folder `runs` of one model, and of its sweep where it is `tuned`."""
    train, evaluate = runs / "train" / name, runs / "evaluate" / name
    judged = _mapping(evaluate / "metrics.json")
    return ModelResults(
        name,
        config=_sealed(train / "config.json"),
        history=_history(train / "history.tsv"),
        measures=_measures(judged.get("metrics", {}), evaluate / "metrics.json"),
        card=judged.get("card", {}),
        figures={path.stem: path for path in sorted((evaluate / "figures").glob("*.png"))},
        sheets=read_sheets(evaluate / "figures/sheets"),
        sweep=_sweep(runs / "tune" / name, name) if tuned else None,
        comparison=_comparison(runs / "compare" / name / "metrics.json") if tuned else None,
    )


def read_sheets(folder: Path) -> dict[str, Sheet]:
    """The sheets in `folder`, by name; none where it is not there."""
    return {path.stem: _sheet(path) for path in sorted(folder.glob("*.png"))}


def _sheet(path: Path) -> Sheet:
    says = _mapping(path.with_suffix(".json"))
    if not all(isinstance(says.get(key), int) and says[key] > 0 for key in ("rows", "columns")):
        raise _other(path.with_suffix(".json"), "no rows and columns of a sheet")
    return Sheet(path, says)


def _sealed(path: Path) -> dict[str, Any]:
    """The content of a sealed file; nothing where there is no file."""
    return read_checked_json(path, "legal: the file that its stage writes") if path.exists() else {}


def _mapping(path: Path) -> dict[str, Any]:
    """The content of a JSON file; nothing where there is no file."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}), legal: the file that its stage writes") from error
    if not isinstance(found, dict):
        raise _other(path, f"a JSON {type(found).__name__}")
    return found


def _measures(found: Any, path: Path) -> dict[str, Measure]:
    names = Measure.__dataclass_fields__
    try:
        return {
            str(metric): Measure(**{key: value for key, value in parts.items() if key in names})
            for metric, parts in found.items()
        }
    except (AttributeError, TypeError) as error:
        raise _other(path, f"metrics without their parts ({error})") from error


def _comparison(path: Path) -> Comparison | None:
    found = _mapping(path)
    if not found:
        return None
    try:
        sides, seeds = found["metrics"], found["seeds"]["tuned"]
        return Comparison(
            _measures(sides["default"], path),
            _measures(sides["tuned"], path),
            {str(seed): _measures(measures, path) for seed, measures in seeds.items()},
        )
    except (AttributeError, KeyError, TypeError) as error:
        raise _other(path, f"no comparison of two sides ({error})") from error


def _sweep(folder: Path, model: str) -> Sweep | None:
    from genlib.params import read_yaml
    from genlib.tracking.journal import flat

    if not (folder / "trials.csv").exists():
        return None
    best = read_yaml(folder / "best.yaml") if (folder / "best.yaml").exists() else {}
    knobs = (best.get("models") or {}).get(model) or {}
    return Sweep(_rows(folder / "trials.csv", ",", first="trial"), flat(knobs))


def _history(path: Path) -> dict[str, list[float | None]]:
    if not path.exists():
        return {}
    rows = _rows(path, "\t", first="images_seen")
    try:
        return {name: [float(row[name]) if row[name] else None for row in rows] for name in rows[0]} if rows else {}
    except ValueError as error:
        raise _other(path, f"what is not a number ({error})") from error


def _rows(path: Path, delimiter: str, first: str) -> list[dict[str, str]]:
    try:
        lines = list(csv.reader(path.read_text(encoding="utf-8").splitlines(), delimiter=delimiter))
    except (OSError, ValueError, csv.Error) as error:
        raise _other(path, f"no readable table ({error})") from error
    columns, *rows = lines or [[]]
    if columns[:1] != [first] or any(len(row) != len(columns) for row in rows):
        raise _other(path, f"no table whose first column is {first} and whose rows are whole")
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _other(path: Path, found: str) -> InputError:
    return InputError(f"{path}: found {found}, legal: the file that its stage writes")
