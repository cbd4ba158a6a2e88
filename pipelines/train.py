"""Stage `train@<model>`: train one model with Ray Train and write its folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from genlib.files import file_sha256
from pipelines.stage import Stage, run_stage

if TYPE_CHECKING:
    from genlib.training.job import TrainingJob
    from genlib.training.loop import Progress


FINISHED = "finished"  # beside the checkpoints of a seed whose run has ended


def train(stage: Stage) -> None:
    """Train one model and write runs/train/<model>, and below its `seeds` a folder for each further seed."""
    for seed, folder in stage.seed_folders(stage.out_dir).items():
        train_seed(stage, seed, folder)
    shutil.rmtree(stage.checkpoint_root, ignore_errors=True)


def train_seed(stage: Stage, seed: int, folder: Path) -> None:
    """Train with one seed; one that had ended before a later one was killed is only written again, as DVC removes the
    folders of a stage before it calls it."""
    from genlib.training.job import save_model

    job = stage.build_job(seed=seed)
    finished = stage.checkpoint_root / job.digest / FINISHED
    if finished.exists():
        save_model(job, folder)
        return
    train_job(stage, job, folder, "" if folder == stage.out_dir else f"seed {seed}")
    finished.touch()


def train_job(stage: Stage, job: TrainingJob, out: Path, part: str = "") -> None:
    """Train `job` to its end as a tracked run, going on where a killed one stopped, and write the folder `out`."""
    from genlib.distributed.train import train_distributed
    from genlib.training.checkpoints import quarantine_checkpoints
    from genlib.training.gan_state import DIVERGED
    from genlib.training.job import save_model
    from genlib.training.loop import TrainingDiverged
    from pipelines.console import open_console

    passed = quarantine_checkpoints(job.checkpoint_dir, job.digest)
    with stage.start_run(job.digest, part) as run, open_console(stage.title) as console:
        for line in passed:
            console.log(f"{stage.title}: {line}")

        def on_progress(progress: Progress) -> None:
            run.report(progress)
            console.show_progress(progress)

        name, should_stop = stage.title.replace(" ", "-"), console.should_stop
        try:
            train_distributed(job, stage.storage_path, name, on_progress, console.log, should_stop=should_stop)
        except TrainingDiverged:
            run.tag({"genlib.health": DIVERGED})
            raise
        save_model(job, out)
        run.tag({"genlib.model_path": str(out), "genlib.model_sha256": file_sha256(out / "model.safetensors")})
        run.log_artifact(out / "config.json")


if __name__ == "__main__":
    run_stage("train", train, models=lambda params: list(params.models))
