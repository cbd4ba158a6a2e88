"""The results of the stages as plain values. Only the requested models are read; what a model lacks is empty."""

import csv
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from genlib.data.dataset import load_dataset
from genlib.errors import InputError
from genlib.evaluation.verdicts import Verdict
from genlib.files import read_checked_json
from genlib.metrics.result import MetricResult
from genlib.registry import read_model_config

EXPECTED = "expected the file that its stage writes"
ResultsByMetric = Mapping[str, MetricResult]
History = Mapping[str, Sequence[float | None]]


@dataclass(frozen=True)
class Comparison:
    """By the reporting classifier: each side over all seeds, and the tuned side seed by seed."""

    default: ResultsByMetric
    tuned: ResultsByMetric
    tuned_by_seed: Mapping[str, ResultsByMetric]


@dataclass(frozen=True)
class SweepResults:
    """`trials`: the rows of trials.csv as text; `best_params`: the winning values in best.yaml, by dotted key."""

    trials: Sequence[Mapping[str, str]]
    best_params: Mapping[str, Any]


@dataclass(frozen=True)
class ContactSheet:
    """Images side by side in a PNG file; `metadata`: how many `rows` and `columns` of them, and what they are."""

    file: Path
    metadata: Mapping[str, Any]


@dataclass(frozen=True)
class ModelResults:
    """`history`: by column, None where a report had no value; `metrics`: the medians, where there are several seeds,
    and `first_seed` those of the weights in the folder itself; `figures`, `sheets`: by the names of their PNG files."""

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=dict)
    metrics: ResultsByMetric = field(default_factory=dict)
    first_seed: ResultsByMetric = field(default_factory=dict)
    verdicts: Sequence[Verdict] = ()
    card: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Path] = field(default_factory=dict)
    sheets: Mapping[str, ContactSheet] = field(default_factory=dict)
    sweep: SweepResults | None = None
    comparison: Comparison | None = None

    @property
    def seed(self) -> int | None:
        seed: int | None = self.config.get("train", {}).get("seed")
        return seed

    @property
    def has_several_seeds(self) -> bool:
        return len(self.card.get("seeds", ())) > 1

    @property
    def seeds(self) -> str:
        """Those that the metrics are medians over, or the only one."""
        found = self.card.get("seeds", [] if self.seed is None else [self.seed])
        return " to ".join(map(str, dict.fromkeys([found[0], found[-1]]))) if found else ""


@dataclass(frozen=True)
class Results:
    """`dataset`: the content of dataset.json."""

    dataset: Mapping[str, Any]
    models: Sequence[ModelResults]


def read_results(root: Path, models: Collection[str], tuned_models: Collection[str] = ()) -> Results:
    """What lies in data/prepared and runs of `root`, with the sweeps of `tuned_models`; InputError where a file is not
    what its stage writes."""
    dataset = load_dataset(root / "data" / "prepared").info
    return Results(dataset, [read_model_results(root / "runs", name, name in tuned_models) for name in models])


def read_model_results(runs: Path, name: str, with_tuning: bool) -> ModelResults:
    train, evaluate, compare = runs / "train" / name, runs / "evaluate" / name, runs / "compare" / name
    evaluation = _read_json(evaluate / "metrics.json")
    with _name_file(evaluate / "metrics.json", "metrics with their parts"):
        metrics = _parse_metrics(evaluation.get("metrics", {}))
        first_seed = _parse_metrics(evaluation.get("first_seed", evaluation.get("metrics", {})))
    return ModelResults(
        name,
        config=read_model_config(train) if (train / "config.json").exists() else {},
        history=_read_history(train / "history.tsv"),
        metrics=metrics,
        first_seed=first_seed,
        verdicts=_parse_verdicts(evaluation.get("verdicts", {})),
        card=evaluation.get("card", {}),
        figures={path.stem: path for path in sorted((evaluate / "figures").glob("*.png"))},
        sheets=read_sheets(evaluate / "figures/sheets"),
        sweep=_read_sweep(runs / "tune" / name, name) if with_tuning else None,
        comparison=_read_comparison(compare / "metrics.json") if with_tuning else None,
    )


def read_sheets(folder: Path) -> dict[str, ContactSheet]:
    """The contact sheets in `folder`, by name."""
    sheets = {}
    for path in sorted(folder.glob("*.png")):
        metadata = _read_json(path.with_suffix(".json"))
        if not all(isinstance(metadata.get(key), int) and metadata[key] > 0 for key in ("rows", "columns")):
            raise InputError(f"{path.with_suffix('.json')}: got no rows and columns of a sheet, {EXPECTED}")
        sheets[path.stem] = ContactSheet(path, metadata)
    return sheets


def _read_json(path: Path) -> dict[str, Any]:
    return read_checked_json(path, EXPECTED) if path.exists() else {}


@contextmanager
def _name_file(path: Path, content: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, AttributeError, KeyError, TypeError, csv.Error) as error:
        raise InputError(f"{path}: got no {content} ({error}), {EXPECTED}") from error


def _parse_metrics(entries: Mapping[str, Any]) -> dict[str, MetricResult]:
    return {metric: MetricResult.from_json(parts) for metric, parts in entries.items()}


def _parse_verdicts(entries: Mapping[str, Any]) -> list[Verdict]:
    """Without those of another form, which older versions wrote."""
    known = {item.name for item in fields(Verdict)}
    current = [parts for parts in entries.values() if parts.keys() == known]
    return [Verdict(**parts | {"share": parts["share"] and tuple(parts["share"])}) for parts in current]


def _read_comparison(path: Path) -> Comparison | None:
    if not (content := _read_json(path)):
        return None
    with _name_file(path, "comparison of two sides"):
        default, tuned = (_parse_metrics(content["metrics"][side]) for side in ("default", "tuned"))
        by_seed = {seed: _parse_metrics(metrics) for seed, metrics in content["seeds"]["tuned"].items()}
        return Comparison(default, tuned, by_seed)


def _read_sweep(folder: Path, model: str) -> SweepResults | None:
    from genlib.params import flatten_dotted, read_yaml

    if not (folder / "trials.csv").exists():
        return None
    best = read_yaml(folder / "best.yaml") if (folder / "best.yaml").exists() else {}
    hyperparameters = (best.get("models") or {}).get(model) or {}
    return SweepResults(_read_table(folder / "trials.csv", ",", "trial"), flatten_dotted(hyperparameters))


def _read_history(path: Path) -> dict[str, list[float | None]]:
    rows = _read_table(path, "\t", "images_seen") if path.exists() else []
    with _name_file(path, "numbers"):
        return {name: [float(row[name]) if row[name] else None for row in rows] for name in rows[0]} if rows else {}


def _read_table(path: Path, delimiter: str, first_column: str) -> list[dict[str, str]]:
    with _name_file(path, f"table whose first column is {first_column}"):
        columns, *rows = csv.reader(path.read_text(encoding="utf-8").splitlines(), delimiter=delimiter)
        if columns[:1] != [first_column]:
            raise ValueError(f"the columns are {columns}")
        return [dict(zip(columns, row, strict=True)) for row in rows]
