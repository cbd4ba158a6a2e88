"""benchmarks/results.json: one row a benchmark or experiment, `{"name", "ratio", "bound", "ok", "detail"}`, and who
measured it when; in MLflow a run each.

`GENLIB_BENCHMARK_RESULTS` names another file for rows that are not to be kept (`make bench-quick`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from genlib import provenance
from genlib.files import write_json
from genlib.tracking.mlflow import log_run

RESULTS_FILE = Path(__file__).with_name("results.json")
RESULTS_ENV = "GENLIB_BENCHMARK_RESULTS"
FILE = Path(os.environ.get(RESULTS_ENV) or RESULTS_FILE)


def record(
    name: str, ratio: float, bound: float, *, at_least: bool, detail: dict[str, Any], rounds: Sequence[float] = ()
) -> None:
    """Put the newest measurement of `name` in the place of the one before, track it, and print it.

    `rounds`: the ratio of each pair of runs, where `ratio` is their median.
    """
    spread = {"rounds": len(rounds), "spread": [round(min(rounds), 4), round(max(rounds), 4)]} if rounds else {}
    row = {
        "name": name,
        "ratio": round(ratio, 4),
        "bound": bound,
        "ok": ratio >= bound if at_least else ratio <= bound,
        "at_least": at_least,
        "benchmark": running_benchmark(),
        "date": date.today().isoformat(),
        "detail": detail | spread,
    }
    put_row(row)
    if RESULTS_ENV not in os.environ:
        track_row(row)
    print(f"{name}: {ratio:.3f} (bound {bound}), {'ok' if row['ok'] else 'NOT REACHED'}", flush=True)


def read_rows() -> list[dict[str, Any]]:
    """What was recorded so far."""
    return list(json.loads(FILE.read_text())) if FILE.exists() else []


def put_row(row: dict[str, Any]) -> None:
    """Put a row in the place of the one of its name."""
    others = [each for each in read_rows() if each["name"] != row["name"]]
    write_json(sorted([*others, row], key=lambda each: str(each["name"])), FILE)


def remove_row(name: str) -> None:
    """Take the row of this name away, where there is one."""
    write_json([row for row in read_rows() if row["name"] != name], FILE)


def running_benchmark() -> str:
    """The module that runs: `tune` of `python -m benchmarks.tune`, `bayes` of `python -m experiments.bayes`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name.removeprefix("benchmarks.").removeprefix("experiments.") if spec else ""


def track_row(row: dict[str, Any]) -> None:
    """The row as a run."""
    log_run(
        "benchmarks",
        row["name"],
        {key: row[key] for key in ("ratio", "bound")},
        tags=provenance.tags(RESULTS_FILE.parents[1], stage="benchmark", model="", params_digest="", data_sha256=""),
        params={"at_least": row["at_least"]},
        texts={"row.json": json.dumps(row, indent=2)},
    )
