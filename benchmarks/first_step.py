"""How soon a stage trains: from the start of `python -m pipelines.train` to its first step, alone and with two workers.

`python -m benchmarks.first_step [--rounds N]`; the ratios are medians of seconds over the 20 allowed in the stage's
own process, and over 60 with two workers of Ray. The first run warms the files and is not counted.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.results import record
from genlib.data.config import DataConfig
from genlib.data.dataset import prepare
from genlib.tracking.run_folder import read_rows

ALLOWED_S = {0: 20.0, 2: 60.0}
NAMES = {0: "in the stage's own process", 2: "with 2 workers"}
PARAMS = """
data: {{name: digits, image_size: 16}}
models:
  classifier:
    model: {{name: cnn_classifier}}
    objective: {{name: classification}}
    train: {{total_images: 384, report_every: 128, workers: {workers}}}
evaluate: {{metrics: [accuracy]}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        projects = {workers: write_project(Path(folder) / str(workers), workers) for workers in ALLOWED_S}
        time_first_step(projects[0])
        found = [{workers: time_first_step(place) for workers, place in projects.items()} for _ in range(rounds)]
    for workers, allowed in ALLOWED_S.items():
        seconds = [each[workers] for each in found]
        detail = {"seconds": [round(s, 1) for s in seconds], "allowed": allowed}
        name = f"start-up: first step {NAMES[workers]} / {allowed:.0f} s"
        ratios = [s / allowed for s in seconds]
        record(name, median(ratios), 1.0, at_least=False, detail=detail, rounds=ratios)


def write_project(folder: Path, workers: int) -> Path:
    """A project of one small model that trains with so many workers; 0: in the process of its stage."""
    folder.mkdir(parents=True)
    (folder / "params.yaml").write_text(PARAMS.format(workers=workers))
    prepare(DataConfig(name="digits", image_size=16), folder / "data/prepared")
    return folder


def time_first_step(project: Path) -> float:
    """Seconds from the start of the process to the report of its first step; nothing is sent, so it can be read."""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    began = time.time()
    command = [sys.executable, "-m", "pipelines.train", "classifier"]
    subprocess.run(command, cwd=project, env=env, check=True, capture_output=True)
    metrics = (project / ".genlib/runs").glob("*/metrics.jsonl")
    newest = max(metrics, key=lambda path: path.stat().st_mtime)
    return float(read_rows(newest.parent)[0]["time"] / 1000 - began)


if __name__ == "__main__":
    main()
