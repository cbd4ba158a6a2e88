"""How soon a stage trains: from the start of `python -m pipelines.train` in local mode to its first step.

`python -m benchmarks.first_step [--runs N]`; the ratio is the median of seconds over the 20 allowed. The first run
warms the files and is not counted.
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
from genlib.data.dataset import prepare
from genlib.data.settings import DataSettings
from genlib.tracking.journal import read_events

ALLOWED = 20.0
PARAMS = """
data: {name: digits, image_size: 16}
models:
  classifier: {model: {name: classifier}, objective: {name: classification}, train: {images: 384, report_every: 128}}
evaluate: {metrics: [accuracy]}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "params.yaml").write_text(PARAMS)
        prepare(DataSettings(name="digits", image_size=16), project / "data/prepared")
        seconds = [first_step(project) for _ in range(runs + 1)][1:]
    detail = {"seconds": [round(s, 1) for s in seconds], "allowed": ALLOWED}
    record("start-up: first step in local mode / 20 s", median(seconds) / ALLOWED, 1.0, at_least=False, detail=detail)


def first_step(project: Path) -> float:
    """Seconds from the start of the process to the report of its first step; nothing is sent, so it can be read."""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    began = time.time()
    command = [sys.executable, "-m", "pipelines.train", "classifier"]
    subprocess.run(command, cwd=project, env=env, check=True, capture_output=True)
    journals = (project / ".genlib/journal").glob("*/events.jsonl")
    [first] = [event for event in read_events(max(journals, key=lambda p: p.stat().st_mtime)) if event["op"] == "log"][
        :1
    ]
    return float(first["time"] / 1000 - began)


if __name__ == "__main__":
    main()
