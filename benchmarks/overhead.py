"""What tracking, reports, checkpoints and health cost: everything on against the bare `train()` loop.

The same GAN on the digits, as a stage without workers trains it, in alternating windows of about a minute in one
process: reports every 10 s, checkpoints every 30 s, samples and points to MLflow. `python -m benchmarks.overhead
[--rounds N] [--seconds S]`; the ratio is the median over pairs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.results import record
from genlib.data.config import DataConfig
from genlib.data.dataset import load_dataset, prepare
from genlib.distributed.train import train_distributed
from genlib.params import load_params
from genlib.tracking.mlflow import publishing
from genlib.tracking.run_folder import open_run
from genlib.training.fit import build_objective, build_train_state
from genlib.training.job import TrainingJob
from genlib.training.loop import Progress, train
from pipelines.console import open_console

BOUND = 0.97


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure_pairs(Path(folder), asked.rounds, asked.seconds)
    detail = {
        "model": "gan",
        "threads": torch.get_num_threads(),
        "seconds_a_window": asked.seconds,
        "images_per_second": [{"bare": round(bare), "everything": round(full)} for bare, full in rows],
    }
    ratios = [full / bare for bare, full in rows]
    name = "training: everything on / bare loop"
    record(name, median(ratios), BOUND, at_least=True, detail=detail, rounds=ratios)


def measure_pairs(folder: Path, rounds: int, seconds: float) -> list[tuple[float, float]]:
    """Images/s of the bare loop and of the whole, for every pair of windows."""
    prepare(DataConfig(name="digits", image_size=16), folder / "data")
    params = load_params()
    section = params.models["gan"]
    training = replace(params.train_config("gan"), workers=0, total_images=4_000)
    job = TrainingJob("gan", section.model, section.objective, training, load_dataset(folder / "data"))
    run_bare(job)
    rate = run_bare(job)
    images = int(rate * seconds)
    long = replace(training, total_images=images, report_every=int(10 * rate), checkpoint_every=int(30 * rate))
    job = replace(job, train=long)
    return [(run_bare(job), run_everything(job, folder / str(pair))) for pair in range(rounds)]


def run_bare(job: TrainingJob) -> float:
    """Images/s of `train()` alone, with one report at the end."""
    dataset, images = job.dataset, job.train.total_images
    state = build_train_state(
        job, build_objective(job), dataset.shape, len(dataset.classes), dataset.num_domains, torch.device("cpu")
    )
    plan = replace(job.train, report_every=images, checkpoint_every=images)
    began = time.monotonic()
    for _ in train(state, dataset.train, plan):
        pass
    return state.images_seen / (time.monotonic() - began)


def run_everything(job: TrainingJob, folder: Path) -> float:
    """Images/s of the job as a stage runs it, from its first step to its last checkpoint; MLflow's database is there
    from the first pair on, as in a project."""
    header: dict[str, Any] = {"name": "benchmark", "experiment": "benchmark", "tags": {}, "params": {}}
    moments = []
    project_dir = folder.parent
    with (
        publishing(project_dir),
        open_run(project_dir, folder.name, **header) as run,
        open_console("everything") as console,
    ):

        def on_progress(progress: Progress) -> None:
            run.report(progress)
            console.show_progress(progress)
            moments.append((time.monotonic(), progress.images_seen))

        train_distributed(replace(job, checkpoint_dir=folder / "state"), str(folder / "ray"), "benchmark", on_progress)
    (first, _), (last, seen) = moments[0], moments[-1]
    return seen / (last - first)


if __name__ == "__main__":
    main()
