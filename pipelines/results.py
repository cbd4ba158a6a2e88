"""`make results [RECORD=1]`: the tables of README.md and docs/results.md, from the files in docs/results.

A file is of one data set or preset: each model's values, intervals, what real images get, verdicts, and the commit,
processor, seeds and code that they come from. A table stands between `<!-- results: KIND FILE -->` and
`<!-- end of results -->`; KIND is one of results_tables.KINDS. `--record` first writes the file of what runs/ holds.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from statistics import mode
from typing import Any

from genlib.errors import InputError, run_cli
from genlib.files import read_checked_json, write_json, write_text
from genlib.metrics.result import MetricResult
from genlib.params import load_params
from genlib.runs import ModelResults, read_results
from pipelines.repro_command import repro_command
from pipelines.results_tables import KINDS

RECORDS, PAGES = Path("docs/results"), (Path("README.md"), Path("docs/results.md"))
BLOCK = re.compile(r"(<!-- results: (\S+) (\S+) -->\n).*?(<!-- end of results -->)", re.DOTALL)
HINT = "expected what `make results RECORD=1` writes"
SIGNIFICANT_DIGITS = 6  # of a number in a file


def update_results(root: Path, *, record: bool = False) -> None:
    """Write the tables of both pages; `record`: first the file of what was evaluated in runs/."""
    if record:
        record_results(root)
    for page in PAGES:
        before = (root / page).read_text(encoding="utf-8")
        after = BLOCK.sub(lambda block: f"{block[1]}{format_block(root, block[2], block[3])}{block[4]}", before)
        if after != before:
            write_text(after, root / page)
            print(f"{page}: written")


def format_block(root: Path, kind: str, name: str) -> str:
    """The text between the markers of a table."""
    if kind not in KINDS:
        raise InputError(f"<!-- results: {kind} {name} -->: got {kind!r}, expected {', '.join(KINDS)}")
    path = root / RECORDS / f"{name}.json"
    return KINDS[kind](root, read_checked_json(path, HINT)) if path.exists() else "\nNot measured yet.\n\n"


def record_results(root: Path) -> Path:
    """Write the file of the data set, or of the preset, whose models lie evaluated in runs/, and return its path."""
    entries = load_params(root / "params.yaml").models
    names = [name for name in entries if evaluation_file(root, name).exists()]
    if not names:
        raise InputError(f"{root / 'runs/evaluate'}: got no evaluated model, expected those of `make repro`")
    results, command = read_results(root, names), repro_command(root)
    for model in results.models:
        if model.card.get("data_sha256") != results.dataset["sha256"]:
            found = f"an evaluation on other data than {results.dataset['name']} in data/prepared"
            raise InputError(f"{evaluation_file(root, model.name)}: got {found}, expected the same; run `make repro`")
    data = {key: results.dataset[key] for key in ("name", "source", "counts", "shape", "sha256")}
    nets = {
        name: {"model": _name_of(entry.model), "objective": _name_of(entry.objective)}
        for name, entry in entries.items()
    }
    models = {model.name: describe_model(root, model) for model in results.models}
    preset = re.search(r"PRESET=(\S+)", command)
    path = root / RECORDS / f"{re.sub(r'[^A-Za-z0-9_-]+', '-', preset[1] if preset else data['name'])}.json"
    about = {"command": command, "date": date.today().isoformat(), "data": data, "nets": nets}
    write_json(about | {"models": models}, path)
    print(f"{path.relative_to(root)}: written")
    return path


def describe_model(root: Path, model: ModelResults) -> dict[str, Any]:
    """An entry of a file: what one model got, and where that comes from."""
    verdicts = read_checked_json(evaluation_file(root, model.name), HINT).get("verdicts", {})
    origin = {key: model.card.get(key, "unknown") for key in ("commit", "dirty", "processor", "code")}
    return {
        **origin,
        "seeds": [model.seed, *list_further_seeds(root, model.name)],
        "n": mode([result.n for result in model.metrics.values()] or [0]),
        "verdicts": {key: _without(verdict, "sentence", "figure") for key, verdict in verdicts.items()},
        "metrics": {name: describe_metric(result) for name, result in model.metrics.items()},
    }


def list_further_seeds(root: Path, model: str) -> list[int]:
    """Those that were evaluated beside the first."""
    return sorted(int(path.parent.name) for path in (root / "runs/evaluate" / model / "seeds").glob("*/metrics.json"))


def describe_metric(result: MetricResult) -> dict[str, Any]:
    """A value as `MetricResult.from_json` takes it, without what no table shows."""
    numbers = {key: _round(getattr(result, key)) for key in ("value", "low", "high", "null")}
    return {**numbers, "n": result.n, "detail": dict(_keep_shown(result.detail))}


def _keep_shown(detail: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Why there is no value, whether it is a lower bound, the interval of real images, and failed controls."""
    for key in ("reason", "more_than"):
        if key in detail:
            yield key, detail[key]
    if real := detail.get("null"):
        yield "null", {key: _round(real[key]) for key in ("reason", "more_than", "low", "high") if key in real}
    failed = {name: control["failed"] for name, control in detail.get("controls", {}).items() if control.get("failed")}
    if failed:
        yield "controls", {name: {"failed": how} for name, how in failed.items()}


def _name_of(part: Mapping[str, Any]) -> dict[str, str]:
    return {"name": part["name"]}


def _round(value: Any) -> Any:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if isinstance(value, float) else value


def _without(section: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key not in keys}


def evaluation_file(root: Path, model: str) -> Path:
    return root / "runs/evaluate" / model / "metrics.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.results", description=update_results.__doc__)
    parser.add_argument("--record", action="store_true", help="first write the file of what lies in runs/")
    asked = parser.parse_args()
    sys.exit(run_cli(lambda: update_results(Path.cwd(), record=asked.record)))


if __name__ == "__main__":
    main()
