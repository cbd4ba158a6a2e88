"""docs/benchmarks.md: tables between its markers are written from benchmarks/results.json, the words around stay."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.results import read_rows
from genlib import provenance
from genlib.files import write_text

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/benchmarks.md"
PACKAGES = ("torch", "ray", "mlflow", "dvc", "numpy", "scikit-learn", "torch-fidelity", "torchmetrics", "prdc")
BEGIN, END = "<!-- measured: written by make bench -->", "<!-- end -->"


def write_page(benchmarks: Sequence[str]) -> None:
    """Put the machine and the tables between the markers of the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    write_text(f"{before}{BEGIN}\n\n{describe_machine()}\n\n{format_tables(benchmarks)}\n\n{END}{after}", PAGE)
    print(f"{PAGE}: written")


def format_tables(benchmarks: Sequence[str]) -> str:
    """What these benchmarks recorded, and apart from it what others did."""
    found = read_rows()
    ours = [row for name in benchmarks for row in found if row.get("benchmark") == name]
    others = [row for row in found if row.get("benchmark") not in benchmarks]
    apart = ["", "Measured apart, outside `make bench`:", "", *format_table(others)] if others else []
    return "\n".join([*format_table(ours), *format_projection(ours), *apart])


def format_projection(found: Sequence[dict[str, Any]]) -> list[str]:
    """The cost model's table of what was not measured, where a row holds one."""
    told = [row["detail"]["projection"] for row in found if "projection" in row["detail"]]
    if not told:
        return []
    assumed = ", ".join(f"{what} {value:g}" for what, value in told[0]["assumed"].items())
    kept, grown = (told[0][key] for key in ("speed_up_same_batch", "speed_up_same_batch_a_gpu"))
    return [
        "",
        f"**Projection, not measured.** The cost model of [scaling](../benchmarks/scaling.py), assuming: {assumed}.",
        "",
        f"| GPUs | {' | '.join(kept)} |",
        f"|:--|{'--:|' * len(kept)}",
        f"| times faster, the global batch kept | {' | '.join(f'{times:g}' for times in kept.values())} |",
        f"| times faster, the batch of each GPU kept | {' | '.join(f'{times:g}' for times in grown.values())} |",
    ]


def format_table(found: Sequence[dict[str, Any]]) -> list[str]:
    lines = ["| measured | ratio | bound | spread | reached | date |", "|:--|--:|:--|:--|:--|:--|"]
    for row in found:
        low, high = row["detail"].get("spread", (None, None))
        spread = "" if low is None else f"{low:.3g} to {high:.3g} ({row['detail']['rounds']})"
        sense = {True: "at least ", False: "at most "}.get(row.get("at_least"), "")  # type: ignore[arg-type]
        name = f"{row['name']} (`.{row['benchmark']}`)" if row.get("benchmark") else row["name"]
        cells = [name, f"**{row['ratio']:.3g}**", f"{sense}{row['bound']:g}", spread]
        lines.append(f"| {' | '.join([*cells, 'yes' if row['ok'] else '**no**', row.get('date', '')])} |")
    return lines


def describe_machine() -> str:
    """One line on the machine, one on the versions."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    processor = provenance.processor_name()
    hardware = f"{processor}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}"
    versions = ", ".join(f"{name} {there}" for name in PACKAGES if (there := installed_version(name)))
    return f"Machine: {hardware}.\n\nVersions: Python {platform.python_version()}, {versions}; commit {short_commit()}."


def installed_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def short_commit() -> str:
    """The commit, marked where code or params differ from it; the results that were just written do not count."""
    return provenance.commit(ROOT)[:7] + ("-dirty" if provenance.dirty(ROOT) == "true" else "")
