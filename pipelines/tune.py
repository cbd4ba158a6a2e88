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
from pipelines.stage import ROOT, Stage, run_stage
from pipelines.train import train_job

if TYPE_CHECKING:
    from genlib.training.job import TrainingJob
    from genlib.tuning.sweep import Sweep


def tune(stage: Stage) -> None:
    """Search one model's space and write runs/tune/<model>: trials.csv, best.yaml and the refits."""
    from genlib.distributed.session import session
    from genlib.tuning.sweep import Sweep

    with session():
        with stage.start_run() as run:
            sweep = Sweep(stage, run)
            changes = run_search(stage, sweep)
            run.log_artifact(stage.out_dir / "best.yaml")
            run.log_artifact(stage.out_dir / "trials.csv")
        first = stage.build_job().train.seed
        for seed in range(first, first + stage.params.tune.refit.seeds):
            default = refit(stage, {}, stage.out_dir / "default" / str(seed), ROOT / "runs/train" / stage.model_name)
            refit(stage, changes, stage.out_dir / "tuned" / str(seed), default)
    sweep.delete_state()
    shutil.rmtree(stage.checkpoint_root, ignore_errors=True)


def run_search(stage: Stage, sweep: Sweep) -> dict[str, Any]:
    """Run the trials, write trials.csv and best.yaml, and return what the winner changes in the params: nothing where
    it has the current ones, or no trial may win."""
    from genlib.params import expand_dotted
    from genlib.training.overrides import current_value, resolve_ratios

    trials = sweep.run_trials()
    repeats = sweep.rerun_near_ties(trials)
    winner = sweep.search_objective.winner(trials, repeats)
    write_csv(*board.trials_table(sweep, trials, repeats, winner), stage.out_dir / "trials.csv")
    if all(trial.status == "error" for trial in trials):
        raise InputError(f"{stage.title}: every trial failed, the first with {trials[0].reason}")
    if winner is None:
        kept = ", ".join(map(str, sweep.search_objective.constraints)) or f"a {sweep.search_objective.metric}"
        print(f"{stage.title}: no trial ends with {kept}: the default params stay")
    options = sweep.job.options()
    changes = resolve_ratios(winner.hyperparameters, options) if winner and winner.number else {}
    values = {key: current_value(key, options) for key in resolve_ratios(sweep.current_values, options)}
    write_yaml({"models": {stage.model_name: expand_dotted(values | changes)}}, stage.out_dir / "best.yaml")
    return changes


def refit(stage: Stage, overrides: Mapping[str, Any], out: Path, existing: Path) -> Path:
    """Train with these knobs, the seed that `out` is named by and the full budget; where the model in `made` is what
    that would give, it is taken as it is."""
    job = stage.build_job(overrides, seed=int(out.name))
    if is_model_of(job, existing):
        shutil.copytree(existing, out, dirs_exist_ok=True)
    else:
        train_job(stage, job, out, f"refit {out.parent.name} seed {out.name}")
    return out


def is_model_of(job: TrainingJob, folder: Path) -> bool:
    """Whether there is a model in `folder`, and it is what `job` would train."""
    from genlib.files import read_checked_json
    from genlib.training.job import build_model_config

    path = folder / "config.json"
    wanted = json.loads(json.dumps(build_model_config(job)))
    return path.exists() and wanted.items() <= read_checked_json(path, "expected one that a train stage wrote").items()


if __name__ == "__main__":
    run_stage("tune", tune, models=lambda params: params.tune.models)
