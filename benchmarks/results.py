"""benchmarks/results.json: one row a benchmark, `{"name", "ratio", "bound", "ok", "detail"}`; in MLflow a run each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from genlib.tracking import provenance
from genlib.tracking.single import single
from pipelines.files import write_json

FILE = Path(__file__).with_name("results.json")


def record(name: str, ratio: float, bound: float, *, at_least: bool, detail: dict[str, Any]) -> None:
    """Put the newest measurement of `name` in the place of the one before, track it, and print it."""
    rows = json.loads(FILE.read_text()) if FILE.exists() else []
    row = {
        "name": name,
        "ratio": round(ratio, 4),
        "bound": bound,
        "ok": ratio >= bound if at_least else ratio <= bound,
        "detail": detail,
    }
    write_json(sorted([*(r for r in rows if r["name"] != name), row], key=lambda r: r["name"]), FILE)
    single(
        "benchmarks",
        name,
        {"ratio": ratio, "bound": bound},
        tags=provenance.tags(FILE.parents[1], stage="benchmark", model="", params_digest="", data_sha256=""),
        params={"at_least": at_least},
        notes={"row.json": json.dumps(row, indent=2)},
    )
    print(f"{name}: {ratio:.3f} (bound {bound}), {'ok' if row['ok'] else 'NOT REACHED'}")
