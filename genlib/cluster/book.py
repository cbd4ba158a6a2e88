"""The book of a search: one `Trial` per Tune trial, told to a listener as it changes and kept in a file.

The one file that imports ray as it is imported: Tune's callbacks are its subclasses.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune

from genlib.cluster.coding import Coding
from genlib.cluster.searchers import PROGRESS
from genlib.cluster.trial import Listener, Trial


class Book(tune.Callback):
    """`budget` are the images of a trial in full; the trials of an earlier call are in the book already."""

    def __init__(self, path: Path, coding: Coding, hear: Listener, budget: int) -> None:
        self.path, self.coding, self.hear, self.budget = path, coding, hear, budget
        self.seconds, self.first, self.trials = read(path)
        self.opened = time.monotonic() - self.seconds

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks with the state of a search, and this one stays in its process."""
        return {}

    @property
    def ended(self) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.ended]

    def restart(self) -> None:
        """Keep the trials that ended; Tune begins anew, and its trials are numbered on from there."""
        self.trials = dict(enumerate(self.ended))
        self.first = len(self.trials)
        for number, trial in self.trials.items():
            trial.number = number

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Mapping[str, Any], **_: Any) -> None:
        found = self._trial(trial, trials)
        found.seconds = result["time_total_s"]
        if "reason" in result:
            found.status, found.reason = result["status"], result["reason"]
            return
        found.status, found.reason = "running", ""
        found.knobs = self.coding.decode(trial.config)
        found.metrics = dict(result["scores"])
        found.images_seen = result[PROGRESS]
        self._write(found)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        found = self._trial(trial, trials)
        if not found.reason:
            found.status = "finished" if found.images_seen >= self.budget else "stopped early"
        self._end(found)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        found = self._trial(trial, trials)
        found.status, found.reason = "error", "its process died"
        self._end(found)

    def _end(self, trial: Trial) -> None:
        trial.spent = sum(each.images_seen for each in self.trials.values())
        self._write(trial)

    def _write(self, trial: Trial) -> None:
        """Keep the book, whole or as it was, then tell of the trial."""
        self.seconds = time.monotonic() - self.opened
        trials = [asdict(each) for each in self.trials.values()]
        partial = self.path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps({"seconds": self.seconds, "first": self.first, "trials": trials}))
        partial.replace(self.path)
        self.hear(trial)

    def _trial(self, trial: Any, trials: Sequence[Any]) -> Trial:
        """The entry of Tune's `trial`, numbered by its place among Tune's `trials`, which is the order of proposal."""
        number = self.first + [each.trial_id for each in trials].index(trial.trial_id)
        return self.trials.setdefault(number, Trial(number, self.coding.decode(trial.config)))


def read(path: Path) -> tuple[float, int, dict[int, Trial]]:
    """The seconds of a book, the number of Tune's first trial, and the trials; of none where it was never begun."""
    if not path.exists():
        return 0.0, 0, {}
    content = json.loads(path.read_text())
    return content["seconds"], content["first"], {facts["number"]: Trial(**facts) for facts in content["trials"]}
