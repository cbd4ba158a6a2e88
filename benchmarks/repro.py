"""The whole default graph from nothing, stage by stage, and once more when there is nothing to do.

`python -m benchmarks.repro [--rounds N]`; ten minutes of two cores a round. The commit of this checkout is cloned into
an empty folder and run with the programs of this environment, as `make repro` does once it has set up:
`pipelines.check`, then `dvc repro`. A stage lasts from the line in which DVC says that it runs to the next such line.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.results import record

ROOT = Path(__file__).parent.parent
RUNNING = re.compile(r"Running stage '([\w@-]+)'")
ALLOWED, NOTHING, PAIRS = 600.0, 5.0, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    rounds = parser.parse_args().rounds
    found = [round_of() for _ in range(rounds)]
    whole, stages = [sum(each.values()) for each, _ in found], found[0][0]
    kinds: Counter[str] = Counter()
    for stage, seconds in stages.items():
        kinds[stage.partition("@")[0]] += seconds  # type: ignore[assignment]
    detail: dict[str, Any] = {
        "seconds": {name: round(seconds, 1) for name, seconds in kinds.items()},
        "stages": {stage: round(seconds, 1) for stage, seconds in stages.items()},
    }
    ratios = [seconds / ALLOWED for seconds in whole]
    record("start-up: whole default make repro / 10 minutes", median(ratios), 1.0, at_least=False, detail=detail,
           rounds=ratios)  # fmt: skip
    idle = [seconds / NOTHING for _, each in found for seconds in each]
    detail = {"seconds": [round(NOTHING * ratio, 2) for ratio in idle]}
    record("start-up: make repro with nothing to do / 5 s", median(idle), 1.0, at_least=False, detail=detail,
           rounds=idle)  # fmt: skip


def round_of() -> tuple[dict[str, float], list[float]]:
    """Seconds of each stage of a fresh clone, what comes before and after them included, and those of idle runs."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "genlib"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        stages = repro(clone)
        return stages, [sum(repro(clone).values()) for _ in range(PAIRS)]


def repro(project: Path) -> dict[str, float]:
    """Seconds of each stage that ran; under "check" and "dvc", of what came before the first."""
    binaries = Path(sys.executable).parent
    env = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    spent: dict[str, float] = {}
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "pipelines.check"], cwd=project, env=env, check=True)
    spent["check"], began, stage = time.monotonic() - began, time.monotonic(), "dvc"
    command = [str(binaries / "dvc"), "repro"]
    pipe: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=project, env=env, **pipe) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if started := RUNNING.search(line):
                spent[stage], began, stage = time.monotonic() - began, time.monotonic(), started[1]
        spent[stage] = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"dvc repro ended with code {process.returncode}")
    return spent


if __name__ == "__main__":
    main()
