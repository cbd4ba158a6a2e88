"""Tune's callbacks, told as trials: the one file that imports ray as it is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray import tune

from genlib.cluster.trial import Listener, Trial

_TUNES_OWN = {"time_total_s", "time_this_iter_s", "time_since_restore"}


class Book(tune.Callback):
    """Keeps the book of a search: one `Trial` per Tune trial, told to `hear` as it changes."""

    def __init__(self, hear: Listener, budget: int) -> None:
        self.hear = hear
        self.budget = budget
        self.trials: dict[int, Trial] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks with the state of a search, and the listener stays in this process."""
        return {}

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Mapping[str, Any], **_: Any) -> None:
        found = self._trial(trial)
        found.seconds = result["time_total_s"]
        if "reason" in result:
            found.status, found.reason = result["status"], result["reason"]
            return
        found.metrics = {k: v for k, v in result.items() if isinstance(v, float) and k not in _TUNES_OWN}
        found.images_seen = result["images_seen"]
        self.hear(found, ended=False)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        found = self._trial(trial)
        if not found.reason:
            found.status = "finished" if found.images_seen >= self.budget else "stopped early"
        self.hear(found, ended=True)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
        found = self._trial(trial)
        found.status, found.reason = "error", "its process died"
        self.hear(found, ended=True)

    def _trial(self, trial: Any) -> Trial:
        number = int(trial.trial_id.rpartition("_")[2])
        return self.trials.setdefault(number, Trial(number, dict(trial.config["knobs"])))
