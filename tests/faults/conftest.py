"""The training that damaged checkpoints, model folders and data belong to."""

from typing import Any

import pytest
from faults.interrupted_training import InterruptedTraining, finish_training, read_result, train_until
from prepared import digits, job

from genlib.training.job import TrainingJob


@pytest.fixture(scope="session")
def training(tmp_path_factory):
    root = tmp_path_factory.mktemp("training")
    data = digits(root / "data")

    def make_job(model: str, **train: Any) -> TrainingJob:
        return job(model, data, **train).with_checkpoints_in(root / "checkpoints")

    finish_training(job("vae", data, root / "uninterrupted"), root / "model")
    interrupted = make_job("vae")
    train_until(interrupted, 64)
    others = {
        "another seed": train_until(make_job("vae", seed=1), 64),
        "another rate": train_until(make_job("vae", lr=0.01), 64),
        "another model": train_until(make_job("autoencoder"), 64),
        "another seed, finished": train_until(make_job("vae", seed=2), 96),
    }
    finish_training(make_job("autoencoder"), root / "other")
    return InterruptedTraining(data, interrupted, read_result(root / "model"), root / "model", root / "other", others)
