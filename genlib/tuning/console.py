"""The progress of a search: a bar in a terminal, and a line for each trial that ends."""

from collections.abc import Sequence
from dataclasses import replace

from genlib.progress import open_bar
from genlib.tuning.objective import SearchObjective
from genlib.tuning.trial import STOPPED_STATUSES, Trial


class TrialConsole:
    """Shows the trials done, running and stopped early of `num_trials`, and the best. `kind`: the word for a trial."""

    def __init__(
        self, title: str, search_objective: SearchObjective, metrics: Sequence[str], num_trials: int, kind: str
    ) -> None:
        self.title, self.search_objective, self.metrics, self.kind = title, search_objective, metrics, kind
        self.trials: dict[int, Trial] = {}
        self.bar = open_bar(title, total=num_trials, unit=f" {kind}s")

    def close(self) -> None:
        self.bar.close()

    def __call__(self, trial: Trial) -> None:
        self.trials[trial.number] = replace(trial)
        num_done = sum(each.has_ended for each in self.trials.values())
        self.bar.n = num_done
        self.bar.set_postfix_str(self.summary())
        if not trial.has_ended:
            return
        scores = ", ".join(f"{name} {trial.metrics[name]:.4g}" for name in self.metrics if name in trial.metrics)
        line = f"{self.title}: {self.kind} {trial.number} {trial.status}: {trial.reason or scores}"
        if self.bar.disable:
            print(f"{line} ({num_done} of {self.bar.total} done, {self.summary()})", flush=True)
        else:
            self.bar.write(line)

    def summary(self) -> str:
        trials, metric = list(self.trials.values()), self.search_objective.metric
        num_running = sum(not each.has_ended for each in trials)
        num_stopped = sum(each.status in STOPPED_STATUSES for each in trials)
        best = self.search_objective.best(trials)
        found = f", best {metric} {best.metrics[metric]:.4g} ({self.kind} {best.number})" if best else ""
        return f"{num_running} running, {num_stopped} stopped early{found}"
