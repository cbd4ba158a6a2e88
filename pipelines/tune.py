"""Stage `tune@<model>`: search the model's space on `valid` with judge A, then refit the default and the winner."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib.errors import InputError
from genlib.files import write_csv, write_yaml
from genlib.tuning import console as board
from pipelines.stage import ROOT, Stage, run
from pipelines.train import train_job

if TYPE_CHECKING:
    from genlib.training.fit import Job
    from genlib.tuning.sweep import Sweep


def tune(stage: Stage) -> None:
    """Search one model's space and write runs/tune/<model>: trials.csv, best.yaml and the refits."""
    from genlib.distributed.session import session
    from genlib.tuning.sweep import Sweep

    with session():
        with stage.tracked() as tracked:
            sweep = Sweep(stage, tracked)
            changes = search(stage, sweep)
            tracked.run.keep(stage.out / "best.yaml")
            tracked.run.keep(stage.out / "trials.csv")
        first = stage.job().train.seed
        for seed in range(first, first + stage.params.tune.refit.seeds):
            default = refit(stage, {}, stage.out / "default" / str(seed), ROOT / "runs/train" / stage.model)
            refit(stage, changes, stage.out / "tuned" / str(seed), default)
    sweep.close()
    shutil.rmtree(stage.state, ignore_errors=True)


def search(stage: Stage, sweep: Sweep) -> dict[str, Any]:
    """Run the trials, write trials.csv and best.yaml, and return what the winner changes in the params: nothing where
    it has the current ones, or no trial may win."""
    from genlib.params import nested
    from genlib.training.overrides import present, resolved

    trials = sweep.trials()
    repeats = sweep.repeats(trials)
    winner = sweep.aim.winner(trials, repeats)
    write_csv(*board.table(sweep, trials, repeats, winner), stage.out / "trials.csv")
    if all(trial.status == "error" for trial in trials):
        raise InputError(f"{stage.title}: every trial failed, the first with {trials[0].reason}")
    if winner is None:
        kept = ", ".join(map(str, sweep.aim.limits)) or f"a {sweep.aim.metric}"
        print(f"{stage.title}: no trial ends with {kept}: the default params stay")
    options = sweep.job.options()
    changes = resolved(winner.knobs, options) if winner and winner.number else {}
    values = {key: present(key, options) for key in resolved(sweep.current, options)}
    write_yaml({"models": {stage.model: nested(values | changes)}}, stage.out / "best.yaml")
    return changes


def refit(stage: Stage, knobs: Mapping[str, Any], out: Path, made: Path) -> Path:
    """Train with these knobs, the seed that `out` is named by and the full budget; where the model in `made` is what
    that would give, it is taken as it is."""
    job = stage.kept(stage.job(seed=int(out.name)).changed(knobs))
    if made_by(job, made):
        shutil.copytree(made, out, dirs_exist_ok=True)
    else:
        train_job(stage, job, out, f"refit {out.parent.name} seed {out.name}")
    return out


def made_by(job: Job, folder: Path) -> bool:
    """Whether there is a model in `folder`, and it is what `job` would train."""
    from genlib.files import read_checked_json
    from genlib.training.fit import describe

    path = folder / "config.json"
    wanted = json.loads(json.dumps(describe(job)))
    return path.exists() and wanted.items() <= read_checked_json(path, "legal: one that a train stage wrote").items()


if __name__ == "__main__":
    run("tune", tune, models=lambda params: params.tune.models)
