"""The log of a search: one `Trial` per Tune trial, passed to a callback as it changes and kept in a file.

Tune's own snapshot of a search is written at intervals and may be cut off by a kill. The log is written at every
report, so no finished trial is repeated; it also numbers the trials and counts the images of all.
"""

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

from ray import tune

from genlib.files import write_bytes
from genlib.tuning.searchers import TIME_ATTR, SearchConfig, Searcher
from genlib.tuning.trial import Trial, TrialCallback

NUM_CHECKPOINTED_TRIALS = 4  # the last that ended: Tune's snapshot may not know yet that they did


class TrialLog(tune.Callback):
    """`trials` by Tune's names, in the order of their proposal, and the `seconds` that the search has taken so far."""

    def __init__(self, folder: Path, config: SearchConfig, searcher: Searcher, on_trial: TrialCallback) -> None:
        self.path, self.tune_dir = folder / "trial_log.json", folder / "ray"
        self.images_per_trial, self.searcher, self.on_trial = config.images_per_trial, searcher, on_trial
        self.seconds, self.trials = read_trial_log(self.path)
        self.start_time = time.monotonic() - self.seconds
        self.ended_dirs: list[Path] = []

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks with the state of a search, and this one stays in its process."""
        return {}

    @property
    def ended_trials(self) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.has_ended]

    def drop_unfinished(self) -> None:
        """Keep only the trials that ended: Tune's state is lost, and with it the names of trials."""
        self.trials = {f"earlier-{trial.number}": trial for trial in self.ended_trials}

    def stop_unfinished(self) -> None:
        """Mark as stopped what the time limit left under way; a trial that saw no image has not begun."""
        self.trials = {key: entry for key, entry in self.trials.items() if entry.has_ended or entry.images_seen}
        for entry in self.trials.values():
            if not entry.has_ended:
                self._end(entry, "stopped early")

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Mapping[str, Any], **_: Any) -> None:
        entry = self._find_entry(trial, trials)
        if entry.is_final:
            return
        entry.seconds = result["time_total_s"]
        if "reason" in result:
            self._end(entry, result["status"], result["reason"])
            return
        entry.status, entry.reason = "running", ""
        entry.hyperparameters = self.searcher.codec.from_ray_config(trial.config)
        entry.metrics, entry.images_seen = dict(result["scores"]), result[TIME_ATTR]
        self._save_and_notify(entry)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        entry = self._find_entry(trial, trials)
        if not entry.has_ended:
            self._end(entry, "finished" if entry.images_seen >= self.images_per_trial else "stopped early")
        if not self.searcher.population_based:
            self.ended_dirs.append(self.tune_dir / trial.storage.trial_dir_name)
            if len(self.ended_dirs) > NUM_CHECKPOINTED_TRIALS:
                shutil.rmtree(self.ended_dirs.pop(0), ignore_errors=True)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        self._end(self._find_entry(trial, trials), "error", "its process died")

    def _end(self, entry: Trial, status: Any, reason: str = "") -> None:
        entry.status, entry.reason = status, reason
        entry.cumulative_images = sum(each.images_seen for each in self.trials.values())
        self._save_and_notify(entry)

    def _save_and_notify(self, entry: Trial) -> None:
        self.seconds = time.monotonic() - self.start_time
        trials = {tune_id: asdict(each) for tune_id, each in self.trials.items()}
        write_bytes(json.dumps({"seconds": self.seconds, "trials": trials}).encode(), self.path, fsync=True)
        self.on_trial(entry)

    def _find_entry(self, trial: Any, trials: Sequence[Any]) -> Trial:
        """The entry of Tune's `trial`. All of Tune's `trials`, in the order of their proposal, get one, and those that
        Tune's snapshot forgot when the search was killed free their numbers, since they are proposed again."""
        known = {each.trial_id for each in trials}
        self.trials = {key: entry for key, entry in self.trials.items() if key in known or entry.has_ended}
        for each in trials:
            if each.trial_id not in self.trials:
                taken = {entry.number for entry in self.trials.values()}
                number = next(number for number in count() if number not in taken)
                self.trials[each.trial_id] = Trial(number, self.searcher.codec.from_ray_config(each.config))
        return self.trials[trial.trial_id]


def read_trial_log(path: Path) -> tuple[float, dict[str, Trial]]:
    """Seconds and trials of the log at `path`; none where there is no file, or a broken one, which is set aside."""
    if not path.exists():
        return 0.0, {}
    try:
        content = json.loads(path.read_bytes())
        return content["seconds"], {tune_id: Trial(**entry) for tune_id, entry in content["trials"].items()}
    except (ValueError, TypeError, LookupError, AttributeError):
        path.replace(path.with_suffix(".broken"))
        print(f"{path}: got a broken log, which is set aside; the search begins again", file=sys.stderr)
        return 0.0, {}
