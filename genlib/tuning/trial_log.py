"""The book of a search: one `Trial` per Tune trial, told to a listener as it changes and kept in a file.

The one file that imports ray as it is imported: Tune's callbacks are its subclasses.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from ray import tune

from genlib.tuning.searchers import PROGRESS
from genlib.tuning.space import Coding
from genlib.tuning.trial import Listener, Trial

LATELY = 4


class Book(tune.Callback):
    """`budget` are the images of a trial in full; the trials of an earlier call are in the book already.

    What trials kept on their way is removed from `state`, the folder of Tune's search, some time after they ended:
    Tune's last snapshot may not know yet that they did.
    """

    def __init__(self, path: Path, coding: Coding, hear: Listener, budget: int, state: Path | None = None) -> None:
        self.path, self.coding, self.hear, self.budget, self.state = path, coding, hear, budget, state
        self.kept: list[Path] = []
        self.seconds, self.numbers, self.trials = read(path)
        self.opened = time.monotonic() - self.seconds

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks with the state of a search, and this one stays in its process."""
        return {}

    @property
    def ended(self) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.ended]

    @property
    def before(self) -> int:
        """How many trials are not of Tune's search, but of one whose state was lost."""
        return len(self.trials.keys() - self.numbers.values())

    def restart(self) -> None:
        """Tune begins anew: only the trials that ended stay."""
        self.numbers, self.trials = {}, {trial.number: trial for trial in self.ended}

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Mapping[str, Any], **_: Any) -> None:
        found = self._trial(trial, trials)
        if found.over:
            return
        found.seconds = result["time_total_s"]
        if "reason" in result:
            found.status, found.reason = result["status"], result["reason"]
            self._end(found)
            return
        found.status, found.reason = "running", ""
        found.knobs = self.coding.decode(trial.config)
        found.metrics = dict(result["scores"])
        found.images_seen = result[PROGRESS]
        self._write(found)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        found = self._trial(trial, trials)
        if not found.ended:
            found.status = "finished" if found.images_seen >= self.budget else "stopped early"
            self._end(found)
        self._clear(trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        found = self._trial(trial, trials)
        found.status, found.reason = "error", "its process died"
        self._end(found)

    def close(self) -> None:
        """The time is over: what was under way stays where it is."""
        for trial in self.trials.values():
            if not trial.ended:
                trial.status = "stopped early"
                self._end(trial)

    def _clear(self, trial: Any) -> None:
        """Of trials that ended only the last LATELY keep their checkpoints."""
        if self.state is None:
            return
        self.kept.append(self.state / trial.storage.trial_dir_name)
        for folder in self.kept[:-LATELY]:
            shutil.rmtree(folder, ignore_errors=True)
        self.kept = self.kept[-LATELY:]

    def _end(self, trial: Trial) -> None:
        trial.spent = sum(each.images_seen for each in self.trials.values())
        self._write(trial)

    def _write(self, trial: Trial) -> None:
        """Keep the book, whole or as it was, then tell of the trial."""
        self.seconds = time.monotonic() - self.opened
        trials = [asdict(each) for each in self.trials.values()]
        partial = self.path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps({"seconds": self.seconds, "numbers": self.numbers, "trials": trials}))
        partial.replace(self.path)
        self.hear(trial)

    def _trial(self, trial: Any, trials: Sequence[Any]) -> Trial:
        """The entry of Tune's `trial`; Tune's `trials` stand in the order of their proposal."""
        self._forget_but({each.trial_id for each in trials})
        for each in trials:
            if each.trial_id not in self.numbers:
                taken = self.trials.keys() | self.numbers.values()
                self.numbers[each.trial_id] = next(number for number in count() if number not in taken)
        number = self.numbers[trial.trial_id]
        return self.trials.setdefault(number, Trial(number, self.coding.decode(trial.config)))

    def _forget_but(self, known: Collection[str]) -> None:
        """Trials that were under way when a search was killed, and that Tune's last snapshot knows nothing of, are
        proposed again; their numbers are free."""
        for name in self.numbers.keys() - known:
            found = self.trials.get(self.numbers[name])
            if found is None or not found.ended:
                self.trials.pop(self.numbers.pop(name), None)


def over(path: Path, name: str) -> Trial | None:
    """The trial that Tune calls so, where the book at `path` says that it is over."""
    _, numbers, trials = read(path)
    found = trials.get(numbers.get(name, -1))
    return found if found and found.over else None


def read(path: Path) -> tuple[float, dict[str, int], dict[int, Trial]]:
    """The seconds of a book, the numbers of Tune's trials by their names there, and the trials; of none where it was
    never begun."""
    if not path.exists():
        return 0.0, {}, {}
    content = json.loads(path.read_text())
    return content["seconds"], content["numbers"], {facts["number"]: Trial(**facts) for facts in content["trials"]}
