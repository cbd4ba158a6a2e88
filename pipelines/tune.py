"""Stage `tune@<model>`: search the model's space on `valid` with judge A, then refit the default and the winner."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib.cluster.trial import best, feasible
from genlib.errors import InputError
from pipelines.files import read_json, write_csv, write_yaml
from pipelines.stage import JUDGE_A, PREPARED, ROOT, Stage, Tracked, run
from pipelines.train import train_job

if TYPE_CHECKING:
    from genlib.cluster.trial import Trial
    from genlib.cluster.tune import Sweep
    from genlib.evaluation.limits import Limit
    from genlib.fit import Job

REHEARSED = 1000
REPORTS = 9
OUTCOME = ("status", "feasible", "images_seen", "seconds")


def tune(stage: Stage) -> None:
    """Search one model's space and write runs/tune/<model>: trials.csv, best.yaml and the refits."""
    from genlib.cluster.session import session
    from genlib.params import nested

    with session():
        with stage.tracked() as tracked:
            best = search(stage, tracked)
            write_yaml({"models": {stage.model: nested(best.knobs)}}, stage.out / "best.yaml")
            tracked.run.keep(stage.out / "best.yaml")
            tracked.run.keep(stage.out / "trials.csv")
        first = stage.job().train.seed
        for seed in range(first, first + stage.params.tune.refit.seeds):
            refit(stage, {}, seed, stage.out / "default" / str(seed))
            refit(stage, best.knobs if best.number else {}, seed, stage.out / "tuned" / str(seed))
    shutil.rmtree(stage.state, ignore_errors=True)


def search(stage: Stage, tracked: Tracked) -> Trial:
    """Run the trials, write trials.csv, and return the best of the feasible ones (the default where there is none)."""
    from genlib.cluster import tune as ray_tune
    from genlib.data.dataset import load_dataset
    from genlib.evaluation.judgement import Bench, Rehearsal
    from genlib.evaluation.limits import limits
    from genlib.evaluation.metric import find

    section, dataset = stage.params.tune, load_dataset(PREPARED)
    asked = tuple(dict.fromkeys((section.metric, *section.limits)))
    n = min(REHEARSED, stage.params.evaluate.samples)
    rehearsal = Rehearsal(Bench.of(JUDGE_A, dataset), asked, n, stage.params.evaluate.seed)
    bounds = limits(section.limits, rehearsal.nulls())
    sweep = ray_tune.Sweep(
        job=stage.job(images=section.images, workers=0, report_every=max(1, section.images // REPORTS)),
        score=rehearsal,
        space=stage.params.models[stage.model].search,
        default=current(stage),
        metric=section.metric,
        mode="min" if find(section.metric).better == "lower" else "max",
        trials=section.trials,
        seed=stage.params.train.seed,
    )
    board = Board(stage, tracked, sweep, bounds)
    storage = ROOT / stage.params.cluster.storage
    trials = ray_tune.search(sweep, dataset.train, storage, stage.title.replace(" ", "-"), board)
    columns = ["trial", *sweep.space, *asked, *OUTCOME]
    write_csv(columns, (board.row(trial) for trial in trials), stage.out / "trials.csv")
    return board.best(trials)


def current(stage: Stage) -> dict[str, Any]:
    """The value that each knob has now: in params.yaml, or by default in the code."""
    from genlib.build import defaults
    from genlib.tracking.journal import flat

    section, training = stage.params.models[stage.model], stage.params.training(stage.model)
    known = {
        "model": defaults("models", section.model["name"]) | section.model,
        "objective": defaults("objectives", section.objective["name"]) | section.objective,
        "train": training | {f"lr_{turn}": rate for turn, rate in training["lr_by_turn"].items()},
    }
    values = flat(known)
    return {key: values.get(key, training["lr"]) for key in section.search}


class Board:
    """Judges and shows the trials of a sweep, each a run nested under it."""

    def __init__(self, stage: Stage, tracked: Tracked, sweep: Sweep, limits: Sequence[Limit]) -> None:
        self.stage, self.tracked, self.sweep, self.limits = stage, tracked, sweep, limits
        self.ended = 0

    def __call__(self, trial: Trial, ended: bool) -> None:
        """Hear of a trial: track it, and say so when it has ended."""
        run = self.tracked.nested(f"trial-{trial.number}", f"{self.stage.title} {trial.number}", trial.knobs)
        run.log(trial.metrics, trial.images_seen)
        self.tracked.courier.start()
        if ended:
            self.ended += 1
            run.tag({"genlib.status": trial.status, "genlib.feasible": str(self.feasible(trial)).lower()})
            run.end("FAILED" if trial.status == "error" else "FINISHED")
            scores = ", ".join(f"{name} {value:.4g}" for name, value in trial.metrics.items())
            done = f"{self.ended} of {self.sweep.trials} trials"
            print(
                f"{self.stage.title}: {done}: trial {trial.number} {trial.status}: {trial.reason or scores}", flush=True
            )

    def feasible(self, trial: Trial) -> bool:
        return feasible(trial, self.sweep.metric, self.limits)

    def best(self, trials: list[Trial]) -> Trial:
        """The best trial that may win; trial 0, the default, where none may."""
        if all(trial.status == "error" for trial in trials):
            raise InputError(f"{self.stage.title}: every trial failed, the first with {trials[0].reason}")
        winner = best(trials, self.sweep.metric, self.sweep.mode, self.limits)
        if winner is None:
            kept = ", ".join(map(str, self.limits))
            print(f"{self.stage.title}: no trial keeps {kept}: the default params stay")
        return winner or trials[0]

    def row(self, trial: Trial) -> dict[str, Any]:
        """One line of trials.csv."""
        outcome = {"status": trial.status, "feasible": self.feasible(trial), "images_seen": trial.images_seen}
        return {"trial": trial.number, **trial.knobs, **trial.metrics, **outcome, "seconds": round(trial.seconds, 1)}


def refit(stage: Stage, knobs: Mapping[str, Any], seed: int, out: Path) -> None:
    """Train with these knobs and the full budget; the model that `train` made of the same job is taken as it is."""
    job = stage.kept(stage.job(seed=seed).changed(knobs))
    made = ROOT / "runs/train" / stage.model
    if made_by(job, made):
        shutil.copytree(made, out, dirs_exist_ok=True)
    else:
        train_job(stage, job, out, f"refit {out.parent.name} seed {seed}")


def made_by(job: Job, folder: Path) -> bool:
    """Whether the model in `folder` is what `job` would train."""
    from genlib.fit import describe

    return bool(read_json(folder / "config.json") == json.loads(json.dumps(describe(job))))


if __name__ == "__main__":
    run("tune", tune, models=lambda params: params.tune.models)
