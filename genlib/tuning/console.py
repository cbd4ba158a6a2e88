"""Who hears of the trials of a sweep: each is tracked as a run under the stage's, and shown as the sweep goes on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from types import TracebackType
from typing import TYPE_CHECKING, Any

from genlib.training.gan_state import DIVERGED, gan_state

if TYPE_CHECKING:
    from genlib.tracking.run_folder import RunFolder
    from genlib.tuning.objective import SearchObjective
    from genlib.tuning.sweep import Sweep
    from genlib.tuning.trial import Trial


class TrialConsole:
    """Shows how many of the `expected` trials are done, running and stopped early, and the best; `part` names a search
    that is not the first of its stage."""

    def __init__(self, sweep: Sweep, run: RunFolder, num_trials: int, trial_kind: str = "trial") -> None:
        from tqdm import tqdm

        self.title, self.search_objective, self.metric_names = sweep.title, sweep.search_objective, sweep.metric_names
        self.run, self.num_trials, self.trial_kind = run, num_trials, trial_kind
        self.trials: dict[int, Trial] = {}
        self.bar = tqdm(desc=self.title, total=num_trials, unit=f" {trial_kind}s", disable=not sys.stderr.isatty())

    def __enter__(self) -> TrialConsole:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.close()

    def __call__(self, trial: Trial) -> None:
        """Hear of a trial: track it, and say so when it has ended."""
        self.trials[trial.number] = replace(trial)
        run = self.run.nested(
            f"{self.trial_kind}-{trial.number}", f"{self.title} {self.trial_kind} {trial.number}", trial.hyperparameters
        )
        run.log(trial.metrics, trial.images_seen)
        if trial.has_ended:
            health = {"genlib.health": health} if (health := trial_health(trial)) else {}
            is_feasible = str(self.search_objective.is_feasible(trial)).lower()
            run.tag({"genlib.status": trial.status, "genlib.feasible": is_feasible, **health})
            run.end("FAILED" if trial.status == "error" else "FINISHED")
        self._show_trial(trial)

    def _show_trial(self, trial: Trial) -> None:
        done = [each for each in self.trials.values() if each.has_ended]
        self.bar.n = len(done)
        self.bar.set_postfix_str(self.summary())
        if trial.has_ended:
            scores = ", ".join(
                f"{name} {trial.metrics[name]:.4g}" for name in self.metric_names if name in trial.metrics
            )
            line = f"{self.title}: {self.trial_kind} {trial.number} {trial.status}: {trial.reason or scores}"
            if self.bar.disable:
                print(f"{line} ({len(done)} of {self.num_trials} done, {self.summary()})", flush=True)
            else:
                self.bar.write(line)

    def summary(self) -> str:
        """Running, stopped and best, in short."""
        trials = list(self.trials.values())
        running = sum(not each.has_ended for each in trials)
        stopped = sum(each.status in ("stopped early", "collapsed", "diverged") for each in trials)
        best = self.search_objective.best(trials)
        found = (
            f", best {self.search_objective.metric} {best.metrics[self.search_objective.metric]:.4g} ({self.trial_kind} {best.number})"
            if best
            else ""
        )
        return f"{running} running, {stopped} stopped early{found}"


def trial_health(trial: Trial) -> str:
    """How the game of its two players stands, or ended."""
    if trial.status in ("diverged", "collapsed"):
        return DIVERGED if trial.status == "diverged" else trial.status
    return gan_state(trial.metrics) or ""


OUTCOME_COLUMNS = ("status", "feasible", "winner", "front", "health", "images_seen", "seconds", "spent", "reason")


def trials_table(
    sweep: Sweep, trials: Sequence[Trial], repeats: Mapping[int, Sequence[Trial]], winner: Trial | None
) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and lines of trials.csv: the trials, then the repeats of those that were near ties."""
    aim, metric = sweep.search_objective, sweep.search_objective.metric
    seed, front = sweep.job.train.seed, replace(aim, second_metric=sweep.tune_params.second_metric).pareto_front(trials)
    columns = [metric, *(f"{metric}_{part}" for part in ("low", "high", "median")), *sweep.metric_names[1:]]
    columns = ["trial", "repeat_of", "seed", *sweep.search_space, *columns, *OUTCOME_COLUMNS]
    lines = []
    for trial in trials:
        runs = [trial, *repeats.get(trial.number, ())]
        scores = [run.metrics[metric] for run in runs if metric in run.metrics]
        middle = {f"{metric}_median": median(scores)} if len(runs) > 1 and scores else {}
        lines.append(
            _trial_row(aim, trial) | middle | {"seed": seed, "winner": trial is winner, "front": trial in front}
        )
    for number, again in repeats.items():
        for run in again:
            facts = {"trial": len(lines), "repeat_of": number, "seed": run.hyperparameters["train.seed"]}
            lines.append(_trial_row(aim, run) | facts | {"winner": False, "front": False})
    return columns, [{key: line[key] for key in columns if key in line} for line in lines]


def _trial_row(search_objective: SearchObjective, trial: Trial) -> dict[str, Any]:
    outcome = {
        "status": trial.status,
        "feasible": search_objective.is_feasible(trial),
        "health": trial_health(trial),
        "images_seen": trial.images_seen,
        "seconds": round(trial.seconds, 1),
        "spent": trial.cumulative_images,
        "reason": trial.reason,
    }
    return {"trial": trial.number, **trial.metrics, **trial.hyperparameters, **outcome}
