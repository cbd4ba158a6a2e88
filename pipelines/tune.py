"""Stage `tune@<model>`: search the model's space on validation images, then refit the default and the winner."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib.errors import InputError
from genlib.files import write_csv, write_yaml
from genlib.tracking.run_folder import RunFolder
from genlib.tuning.trial import Trial
from pipelines.stage import ROOT, TUNING_CLASSIFIER, Stage, run_stage
from pipelines.train import train_job

if TYPE_CHECKING:
    from genlib.tuning.sweep import Sweep, SweepCallback

MAX_SCORED_IMAGES = 1000  # at the most, for the score of a trial


def tune(stage: Stage) -> None:
    """Search one model's space and write runs/tune/<model>: trials.csv, best.yaml and the refits."""
    from genlib.distributed.session import session

    with session():
        with stage.start_run() as run:
            sweep = build_sweep(stage)
            changes = run_sweep(sweep, stage.out_dir, track_trials(run, sweep))
            for name in ("best.yaml", "trials.csv"):
                run.log_artifact(stage.out_dir / name)
        first, trained = stage.build_job().train.seed, stage.seed_folders(ROOT / "runs/train" / stage.model_name)
        for seed in range(first, first + stage.params.tune.refit.seeds):
            default = refit(stage, {}, stage.out_dir / "default" / str(seed), trained.get(seed, trained[first]))
            refit(stage, changes, stage.out_dir / "tuned" / str(seed), default)
    shutil.rmtree(sweep.folder, ignore_errors=True)
    shutil.rmtree(stage.checkpoint_root, ignore_errors=True)


def build_sweep(stage: Stage) -> Sweep:
    """The sweep of this stage, whose trials report often enough for the lowest rung and write checkpoints as often."""
    from genlib.evaluation.evaluator import Evaluator, TrialScorer
    from genlib.tuning.searchers import reports_per_trial
    from genlib.tuning.sweep import Sweep

    if "://" in stage.storage_path:
        expected = "a folder that every node sees, where a sweep keeps its trials"
        raise InputError(f"params.yaml: ray.storage_path: got {stage.storage_path!r}, expected {expected}")
    section, settings = stage.params.tune, stage.params.evaluate
    every = max(1, section.images_per_trial // reports_per_trial(section.searcher))
    metrics = tuple(dict.fromkeys((section.metric, section.second_metric, *section.constraints)))
    every_report: Any = {"report_every": every, "checkpoint_every": every}
    job = stage.build_job(total_images=section.images_per_trial, workers=section.resources.workers, **every_report)
    evaluator = Evaluator.from_folder(TUNING_CLASSIFIER, job.dataset)
    scorer = TrialScorer(evaluator, metrics, min(MAX_SCORED_IMAGES, settings.samples), settings.seed)
    space, folder = stage.params.models[stage.model_name].search_space, stage.title.replace(" ", "-")
    return Sweep(stage.title, job, scorer, section, space, Path(stage.storage_path) / folder)


def track_trials(run: RunFolder, sweep: Sweep) -> SweepCallback:
    """A callback that keeps each trial as a run under the stage's."""

    def track(kind: str, trial: Trial) -> None:
        name = f"{sweep.title} {kind} {trial.number}"
        trial_run = run.start_nested(f"{kind}-{trial.number}", name, trial.hyperparameters)
        trial_run.log(trial.metrics, trial.images_seen)
        if trial.has_ended:
            health = {"genlib.health": trial.health} if trial.health else {}
            is_feasible = str(sweep.objective.is_feasible(trial)).lower()
            trial_run.tag({"genlib.status": trial.status, "genlib.feasible": is_feasible, **health})
            trial_run.end("FAILED" if trial.status == "error" else "FINISHED")

    return track


def run_sweep(sweep: Sweep, out_dir: Path, on_trial: SweepCallback) -> dict[str, Any]:
    """Run the sweep, write trials.csv and best.yaml, and return the params that the winner changes: none where it has
    the current ones, or no trial may win."""
    from genlib.params import expand_dotted
    from genlib.training.overrides import current_value, resolve_ratios

    trials, repeats = sweep.run(on_trial)
    winner = sweep.objective.winner(trials, repeats)
    write_csv(*sweep.trials_table(trials, repeats, winner), out_dir / "trials.csv")
    if all(trial.status == "error" for trial in trials):
        raise InputError(f"{sweep.title}: every trial failed, the first with {trials[0].reason}")
    if winner is None:
        required = ", ".join(map(str, sweep.objective.constraints)) or f"a {sweep.objective.metric}"
        print(f"{sweep.title}: no trial ends with {required}: the default params stay")
    options = sweep.job.options()
    changes = resolve_ratios(winner.hyperparameters, options) if winner and winner.number else {}
    values = {key: current_value(key, options) for key in resolve_ratios(sweep.current_values, options)}
    write_yaml({"models": {sweep.job.name: expand_dotted(values | changes)}}, out_dir / "best.yaml")
    return changes


def refit(stage: Stage, overrides: Mapping[str, Any], out: Path, existing: Path) -> Path:
    """Train with these hyperparameters, the seed that names `out` and the full budget, or copy `existing` where that is
    the same model."""
    job = stage.build_job(overrides, seed=int(out.name))
    if job.is_model_of(existing):
        shutil.copytree(existing, out, dirs_exist_ok=True)
    else:
        train_job(stage, job, out, f"refit {out.parent.name} seed {out.name}")
    return out


if __name__ == "__main__":
    run_stage("tune", tune, models=lambda params: params.tune.models)
