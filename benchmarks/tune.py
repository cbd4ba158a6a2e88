"""What a search costs beside the training of its trials.

`python -m benchmarks.tune`: a minute of two cores, Ray's start apart. Trials of a function that waits and keeps a
checkpoint of four megabytes at every report, as the default GAN does, with actors reused: their wall time, times how
many run at a time, less what they waited, over their number. Once without checkpoints, which stands in the details.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.results import record
from genlib.distributed.session import session
from genlib.tuning.objective import SearchObjective
from genlib.tuning.search import search
from genlib.tuning.searchers import SearchConfig
from genlib.tuning.trial import TrialReport

TRIALS, REPORTS, PAUSE, BOUND = 16, 9, 0.1, 1.5
CHECKPOINT_BYTES = 4_000_000


class SleepTrial:
    """A trial of REPORTS pauses, which keeps so many bytes at each."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, knobs: dict[str, Any], folder: Path) -> Iterator[TrialReport]:
        for step in range(1, REPORTS + 1):
            time.sleep(PAUSE)
            if self.size:
                (folder / "state").write_bytes(os.urandom(self.size))
            yield TrialReport(step, {"score": knobs["x"]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with session() as cpus:
        trial_overhead_s(CHECKPOINT_BYTES, cpus)  # the first search starts the actors
        rounds = [trial_overhead_s(CHECKPOINT_BYTES, cpus) for _ in range(asked.rounds)]
        without = trial_overhead_s(0, cpus)
    detail = {
        "seconds_a_trial": [round(seconds, 3) for seconds in rounds],
        "without_checkpoints": round(without, 3),
        "trials": TRIALS,
        "reports_a_trial": REPORTS,
        "at_a_time": cpus,
    }
    ratios = [seconds / BOUND for seconds in rounds]
    name = "overhead of a trial in seconds, against 1.5"
    record(name, statistics.median(ratios), 1.0, at_least=False, detail=detail, rounds=ratios)


def trial_overhead_s(size: int, cpus: int) -> float:
    """Seconds beyond its own that one trial takes."""
    plan = SearchConfig({"x": {"uniform": [0.0, 1.0]}}, SearchObjective("score"), TRIALS, REPORTS, "random_no_pruning")
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        trials = search(SleepTrial(size), plan, Path(folder))
        wall = time.monotonic() - started
    assert all(trial.status == "finished" for trial in trials)
    return wall * min(cpus, TRIALS) / TRIALS - REPORTS * PAUSE


if __name__ == "__main__":
    main()
