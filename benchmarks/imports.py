"""What starting costs before anything happens: imports and `genlib --help`, each in a fresh process, in turn.

`python -m benchmarks.imports [--rounds N]`; the first round warms the files and is not counted. The detail says what
else a stage imports takes, and where that time goes: the packages, by their own time in `-X importtime`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median

from benchmarks.results import record

ROOT = Path(__file__).parent.parent
IMPORTTIME_LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \| +([\w.]+)")
COMPARED_COMMANDS = {
    "torch": ["-c", "import torch"],
    "genlib.training.fit": ["-c", "import genlib.training.fit"],
    "genlib --help": ["-m", "genlib", "--help"],
}
DETAIL_COMMANDS = {
    "python": ["-c", "pass"],
    "pipelines.train": ["-c", "import pipelines.train"],
    "pipelines.evaluate": ["-c", "import pipelines.evaluate"],
    "mlflow": ["-c", "import mlflow"],
    "a train stage with workers": ["-c", "import pipelines.train, genlib.training.fit, ray.train.torch"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    where = import_seconds(DETAIL_COMMANDS["a train stage with workers"])
    found = [{name: time_command(command) for name, command in COMPARED_COMMANDS.items()} for _ in range(rounds + 1)][
        1:
    ]
    spent = {name: median(each[name] for each in found) for name in COMPARED_COMMANDS}
    spent |= {name: time_command(command) for name, command in DETAIL_COMMANDS.items()}
    detail = {"seconds": {name: round(each, 2) for name, each in spent.items()}, "where": where}
    core = [each["genlib.training.fit"] / each["torch"] for each in found]
    record(
        "start-up: import genlib.training.fit / import torch",
        median(core),
        1.25,
        at_least=False,
        detail=detail,
        rounds=core,
    )
    help_ = [each["genlib --help"] for each in found]
    record("start-up: genlib --help in seconds", median(help_), 0.5, at_least=False, detail={}, rounds=help_)


def time_command(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    return time.perf_counter() - began


def import_seconds(command: list[str]) -> dict[str, float]:
    """Seconds in each of the ten packages that take most of the imports."""
    run = [sys.executable, "-X", "importtime", *command]
    said = subprocess.run(run, cwd=ROOT, check=True, capture_output=True, text=True).stderr
    total: Counter[str] = Counter()
    for microseconds, module in IMPORTTIME_LINE.findall(said):
        total[module.partition(".")[0]] += int(microseconds)
    return {package: round(spent / 1e6, 2) for package, spent in total.most_common(10)}


if __name__ == "__main__":
    main()
