"""The whole default graph from nothing, stage by stage, and once more when there is nothing to do.

`python -m benchmarks.repro [--rounds N]`; ten minutes of two slow cores a round. The commit of this checkout is cloned
into an empty folder and run with the programs of this environment, as `make repro` does once it has set up:
`pipelines.check`, then `pipelines.repro` with two stages at a time, whose seconds add up to more than the whole.
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
STAGE_ENDED = re.compile(r"([\w@-]+): (\d+) s")
ALLOWED_S, IDLE_ALLOWED_S, IDLE_RUNS, JOBS = 600.0, 5.0, 5, "2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    rounds = parser.parse_args().rounds
    found = [run_round() for _ in range(rounds)]
    whole, stages = [seconds for seconds, _, _ in found], found[0][1]
    kinds: Counter[str] = Counter()
    for stage, seconds in stages.items():
        kinds[stage.partition("@")[0]] += seconds
    detail: dict[str, Any] = {"seconds": [round(each, 1) for each in whole], "kinds": dict(kinds), "stages": stages}
    ratios = [seconds / ALLOWED_S for seconds in whole]
    record("start-up: whole default make repro / 10 minutes", median(ratios), 1.0, at_least=False, detail=detail,
           rounds=ratios)  # fmt: skip
    idle = [seconds / IDLE_ALLOWED_S for _, _, each in found for seconds in each]
    detail = {"seconds": [round(IDLE_ALLOWED_S * ratio, 2) for ratio in idle]}
    record("start-up: make repro with nothing to do / 5 s", median(idle), 1.0, at_least=False, detail=detail,
           rounds=idle)  # fmt: skip


def run_round() -> tuple[float, dict[str, int], list[float]]:
    """Seconds of the graph in a fresh clone, of each of its stages, and of idle runs after it."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "genlib"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        whole, stages = run_repro(clone)
        return whole, stages, [run_repro(clone)[0] for _ in range(IDLE_RUNS)]


def run_repro(project: Path) -> tuple[float, dict[str, int]]:
    """Seconds in all, and of each stage that ran."""
    binaries = Path(sys.executable).parent
    env = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}
    spent, began = {}, time.monotonic()
    subprocess.run([sys.executable, "-m", "pipelines.check"], cwd=project, env=env, check=True)
    command = [sys.executable, "-m", "pipelines.repro", JOBS]
    pipe: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=project, env=env, **pipe) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            if ended := STAGE_ENDED.fullmatch(line.strip()):
                spent[ended[1]] = int(ended[2])
    if process.returncode:
        raise SystemExit(f"the graph ended with code {process.returncode}")
    return time.monotonic() - began, spent


if __name__ == "__main__":
    main()
