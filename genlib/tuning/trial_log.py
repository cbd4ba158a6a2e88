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

from genlib.tuning.searchers import TIME_ATTR
from genlib.tuning.space import SpaceCodec
from genlib.tuning.trial import Trial, TrialCallback

NUM_CHECKPOINTED_TRIALS = 4


class TrialLog(tune.Callback):
    """`budget` are the images of a trial in full; the trials of an earlier call are in the book already.

    What trials kept on their way is removed from `state`, the folder of Tune's search, some time after they ended:
    Tune's last snapshot may not know yet that they did.
    """

    def __init__(
        self,
        path: Path,
        codec: SpaceCodec,
        on_trial: TrialCallback,
        images_per_trial: int,
        tune_dir: Path | None = None,
    ) -> None:
        self.path, self.codec, self.on_trial, self.images_per_trial, self.tune_dir = (
            path,
            codec,
            on_trial,
            images_per_trial,
            tune_dir,
        )
        self.finished_trial_dirs: list[Path] = []
        self.seconds, self.trial_numbers, self.trials = read_trial_log(path)
        self.start_time = time.monotonic() - self.seconds

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks with the state of a search, and this one stays in its process."""
        return {}

    @property
    def ended_trials(self) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.has_ended]

    @property
    def num_earlier_trials(self) -> int:
        """How many trials are not of Tune's search, but of one whose state was lost."""
        return len(self.trials.keys() - self.trial_numbers.values())

    def drop_unfinished(self) -> None:
        """Tune begins anew: only the trials that ended stay."""
        self.trial_numbers, self.trials = {}, {trial.number: trial for trial in self.ended_trials}

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Mapping[str, Any], **_: Any) -> None:
        found = self._trial_entry(trial, trials)
        if found.is_final:
            return
        found.seconds = result["time_total_s"]
        if "reason" in result:
            found.status, found.reason = result["status"], result["reason"]
            self._record_end(found)
            return
        found.status, found.reason = "running", ""
        found.hyperparameters = self.codec.from_ray_config(trial.config)
        found.metrics = dict(result["scores"])
        found.images_seen = result[TIME_ATTR]
        self._save_and_notify(found)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        found = self._trial_entry(trial, trials)
        if not found.has_ended:
            found.status = "finished" if found.images_seen >= self.images_per_trial else "stopped early"
            self._record_end(found)
        self._prune_checkpoints(trial)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        found = self._trial_entry(trial, trials)
        found.status, found.reason = "error", "its process died"
        self._record_end(found)

    def stop_unfinished(self) -> None:
        """The time is over: what was under way stays where it is."""
        for trial in self.trials.values():
            if not trial.has_ended:
                trial.status = "stopped early"
                self._record_end(trial)

    def _prune_checkpoints(self, trial: Any) -> None:
        """Of trials that ended only the last LATELY keep their checkpoints."""
        if self.tune_dir is None:
            return
        self.finished_trial_dirs.append(self.tune_dir / trial.storage.trial_dir_name)
        for folder in self.finished_trial_dirs[:-NUM_CHECKPOINTED_TRIALS]:
            shutil.rmtree(folder, ignore_errors=True)
        self.finished_trial_dirs = self.finished_trial_dirs[-NUM_CHECKPOINTED_TRIALS:]

    def _record_end(self, trial: Trial) -> None:
        trial.cumulative_images = sum(each.images_seen for each in self.trials.values())
        self._save_and_notify(trial)

    def _save_and_notify(self, trial: Trial) -> None:
        """Keep the book, whole or as it was, then tell of the trial."""
        self.seconds = time.monotonic() - self.start_time
        trials = [asdict(each) for each in self.trials.values()]
        partial = self.path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps({"seconds": self.seconds, "numbers": self.trial_numbers, "trials": trials}))
        partial.replace(self.path)
        self.on_trial(trial)

    def _trial_entry(self, trial: Any, trials: Sequence[Any]) -> Trial:
        """The entry of Tune's `trial`; Tune's `trials` stand in the order of their proposal."""
        self._drop_unknown({each.trial_id for each in trials})
        for each in trials:
            if each.trial_id not in self.trial_numbers:
                taken = self.trials.keys() | self.trial_numbers.values()
                self.trial_numbers[each.trial_id] = next(number for number in count() if number not in taken)
        number = self.trial_numbers[trial.trial_id]
        return self.trials.setdefault(number, Trial(number, self.codec.from_ray_config(trial.config)))

    def _drop_unknown(self, tune_ids: Collection[str]) -> None:
        """Trials that were under way when a search was killed, and that Tune's last snapshot knows nothing of, are
        proposed again; their numbers are free."""
        for name in self.trial_numbers.keys() - tune_ids:
            found = self.trials.get(self.trial_numbers[name])
            if found is None or not found.has_ended:
                self.trials.pop(self.trial_numbers.pop(name), None)


def final_trial(path: Path, tune_id: str) -> Trial | None:
    """The trial that Tune calls so, where the book at `path` says that it is over."""
    _, numbers, trials = read_trial_log(path)
    found = trials.get(numbers.get(tune_id, -1))
    return found if found and found.is_final else None


def read_trial_log(path: Path) -> tuple[float, dict[str, int], dict[int, Trial]]:
    """The seconds of a book, the numbers of Tune's trials by their names there, and the trials; of none where it was
    never begun."""
    if not path.exists():
        return 0.0, {}, {}
    content = json.loads(path.read_text())
    return content["seconds"], content["numbers"], {facts["number"]: Trial(**facts) for facts in content["trials"]}
