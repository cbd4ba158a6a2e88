"""Who hears of the trials of a sweep: each is tracked as a run under the stage's, and shown as the sweep goes on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median
from types import TracebackType
from typing import TYPE_CHECKING, Any

from genlib.training.gan_state import DIVERGED, state

if TYPE_CHECKING:
    from genlib.tuning.objective import Aim
    from genlib.tuning.sweep import Sweep
    from genlib.tuning.trial import Trial
    from pipelines.stage import Tracked


class Board:
    """Shows how many of the `expected` trials are done, running and stopped early, and the best; `part` names a search
    that is not the first of its stage."""

    def __init__(self, sweep: Sweep, tracked: Tracked, expected: int, part: str = "trial") -> None:
        from tqdm import tqdm

        self.title, self.aim, self.shown = sweep.title, sweep.aim, sweep.asked
        self.tracked, self.expected, self.part = tracked, expected, part
        self.trials: dict[int, Trial] = {}
        self.bar = tqdm(desc=self.title, total=expected, unit=f" {part}s", disable=not sys.stderr.isatty())

    def __enter__(self) -> Board:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.bar.close()

    def __call__(self, trial: Trial) -> None:
        """Hear of a trial: track it, and say so when it has ended."""
        before = self.trials.get(trial.number)
        self.trials[trial.number] = replace(trial)
        run = self.tracked.nested(
            f"{self.part}-{trial.number}", f"{self.title} {self.part} {trial.number}", trial.knobs
        )
        run.log(trial.metrics, trial.images_seen)
        if health(trial) != (health(before) if before else ""):
            run.tag({"genlib.health": health(trial)})
        self.tracked.courier.start()
        if trial.ended:
            run.tag({"genlib.status": trial.status, "genlib.feasible": str(self.aim.feasible(trial)).lower()})
            run.end("FAILED" if trial.status == "error" else "FINISHED")
        self._show(trial)

    def _show(self, trial: Trial) -> None:
        done = [each for each in self.trials.values() if each.ended]
        self.bar.n = len(done)
        self.bar.set_postfix_str(self.summary())
        if trial.ended:
            scores = ", ".join(f"{name} {trial.metrics[name]:.4g}" for name in self.shown if name in trial.metrics)
            line = f"{self.title}: {self.part} {trial.number} {trial.status}: {trial.reason or scores}"
            if self.bar.disable:
                print(f"{line} ({len(done)} of {self.expected} done, {self.summary()})", flush=True)
            else:
                self.bar.write(line)

    def summary(self) -> str:
        """Running, stopped and best, in short."""
        trials = list(self.trials.values())
        running = sum(not each.ended for each in trials)
        stopped = sum(each.status in ("stopped early", "collapsed", "diverged") for each in trials)
        best = self.aim.best(trials)
        found = (
            f", best {self.aim.metric} {best.metrics[self.aim.metric]:.4g} ({self.part} {best.number})" if best else ""
        )
        return f"{running} running, {stopped} stopped early{found}"


def health(trial: Trial) -> str:
    """How the game of its two players stands, or ended."""
    if trial.status in ("diverged", "collapsed"):
        return DIVERGED if trial.status == "diverged" else trial.status
    return state(trial.metrics) or ""


OUTCOME = ("status", "feasible", "winner", "front", "health", "images_seen", "seconds", "spent", "reason")


def table(
    sweep: Sweep, trials: Sequence[Trial], repeats: Mapping[int, Sequence[Trial]], winner: Trial | None
) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and lines of trials.csv: the trials, then the repeats of those that were near ties."""
    aim, metric = sweep.aim, sweep.aim.metric
    seed, front = sweep.job.train.seed, replace(aim, diversity=sweep.section.diversity).front(trials)
    columns = [metric, *(f"{metric}_{part}" for part in ("low", "high", "median")), *sweep.asked[1:]]
    columns = ["trial", "repeat_of", "seed", *sweep.space, *columns, *OUTCOME]
    lines = []
    for trial in trials:
        runs = [trial, *repeats.get(trial.number, ())]
        scores = [run.metrics[metric] for run in runs if metric in run.metrics]
        middle = {f"{metric}_median": median(scores)} if len(runs) > 1 and scores else {}
        lines.append(_line(aim, trial) | middle | {"seed": seed, "winner": trial is winner, "front": trial in front})
    for number, again in repeats.items():
        for run in again:
            facts = {"trial": len(lines), "repeat_of": number, "seed": run.knobs["train.seed"]}
            lines.append(_line(aim, run) | facts | {"winner": False, "front": False})
    return columns, [{key: line[key] for key in columns if key in line} for line in lines]


def _line(aim: Aim, trial: Trial) -> dict[str, Any]:
    outcome = {
        "status": trial.status,
        "feasible": aim.feasible(trial),
        "health": health(trial),
        "images_seen": trial.images_seen,
        "seconds": round(trial.seconds, 1),
        "spent": trial.spent,
        "reason": trial.reason,
    }
    return {"trial": trial.number, **trial.metrics, **trial.knobs, **outcome}
