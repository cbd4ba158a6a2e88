"""A training that was stopped before its end, as a job and as the train stage of a project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from genlib.data.dataset import load_dataset
from genlib.params import load_params
from genlib.training.checkpoints import quarantine_checkpoints
from genlib.training.fit import fit
from genlib.training.job import TrainingJob, save_model

ROOT = Path(__file__).parents[2]
PARAMS = """
data: {name: digits, domain_b: {name: printed_digits}}
models:
  vae:
    model: {name: vae, width: 4, latent: 4}
    objective: {name: elbo}
    train: {total_images: 96, batch_size: 16, report_every: 32, checkpoint_every: 32, precision: float32}
evaluate: {metrics: [kid]}
"""


class InterruptedTraining(NamedTuple):
    """`job` was stopped at 64 of its 96 images.

    `result`: the files that it gives where nothing stops it, which lie in `model_folder`; `other_model_folder`: that of
    another model; `other_checkpoints`: checkpoint folders of other jobs, by what differs in them.
    """

    data: Path
    job: TrainingJob
    result: tuple[bytes, ...]
    model_folder: Path
    other_model_folder: Path
    other_checkpoints: dict[str, Path]


def train_until(job: TrainingJob, images: int) -> Path:
    """The checkpoint folder of a job that is stopped once it has seen so many images."""
    for progress in fit(job):
        if progress.images_seen >= images:
            break
    assert job.checkpoint_dir
    return job.checkpoint_dir


def finish_training(job: TrainingJob, out: Path) -> None:
    """What the train stage does, without Ray and MLflow."""
    for line in quarantine_checkpoints(job.checkpoint_dir, job.digest):
        print(line, file=sys.stderr)
    for _ in fit(job):
        pass
    save_model(job, out)


def read_result(folder: Path) -> tuple[bytes, ...]:
    return tuple((folder / name).read_bytes() for name in ("model.safetensors", "raw.safetensors", "history.tsv"))


def start_project(folder: Path, data: Path) -> Path:
    """Make a project whose training was stopped at 64 images; returns the folder of its two checkpoints."""
    (folder / "params.yaml").write_text(PARAMS)
    shutil.copytree(data, folder / "data/prepared")
    params = load_params(folder / "params.yaml")
    entry = params.models["vae"]
    job = TrainingJob("vae", dict(entry.model), dict(entry.objective), params.train_config("vae"), load_dataset(data))
    return train_until(job.with_checkpoints_in(folder / ".genlib/state/train/vae"), 64)


def run_module(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a module as a process in `folder`, with a tracking server that does not answer; that line is left out."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-m", *words], cwd=folder, env=env, capture_output=True, text=True)
    done.stderr = re.sub(r"^.* does not answer .*\n", "", done.stderr)
    return done
