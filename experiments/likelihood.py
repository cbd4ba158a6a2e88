"""How probable MNIST's test digits are under the one-layer network of Burda, Grosse and Salakhutdinov 2016, k = 1.

`python -m experiments.likelihood [--epochs N] [--root FOLDER] [--keep FOLDER]`; the paper prints 86.76 nats after 3,280
epochs. Digits are binarised anew at every visit, the test digits once. 55,000 images train; the validation images that
`prepare` holds out are not used. Run again with the same --keep, it goes on where it was. One thread is faster than
two: the matrices are small.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.results import record
from genlib.data.batches import seeded_generator
from genlib.data.config import DataConfig
from genlib.data.dataset import load_dataset, prepare
from genlib.data.images import to_float
from genlib.metrics.stats.bayes import importance_log_likelihood
from genlib.models.layers.latent_variable import LatentVariableModel
from genlib.registry import load
from genlib.training.config import TrainConfig
from genlib.training.fit import fit
from genlib.training.job import TrainingJob, save_model

PAPER = 86.76
BOUND = 87.8
EPOCH = 55_000
SAMPLES = 5000
PAIRS = 1000  # decoded at a time: more would leave the cache


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=600)
    parser.add_argument("--root", type=Path, default=Path("data/raw"))
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as temporary:
        detail = measure(asked.epochs, asked.root, asked.keep or Path(temporary))
    print(json.dumps(detail, indent=2))
    name = f"likelihood: MNIST, one-layer net of Burda et al., k = 1, in nats / {BOUND}"
    record(name, detail["nll"] / BOUND, 1.0, at_least=False, detail=detail)


def measure(epochs: int, root: Path, folder: Path) -> dict[str, Any]:
    """The figures of a run whose data, state and model lie in `folder`; times are of this process alone."""
    data = folder / "data"
    if not data.exists():
        prepare(DataConfig(name="mnist", root=root, split="official"), data)
    with Watch() as training:
        model = trained(job(epochs, data, folder / f"state-{epochs}"), folder / f"model-{epochs}")
    with Watch() as evaluation:
        nll = -log_likelihood(model, to_float(load_dataset(data).test.pixels))
    error = float(nll.std() / math.sqrt(len(nll)))
    found = {"nll": float(nll.mean()), "standard_error": error, "images": len(nll), "samples": SAMPLES, "paper": PAPER}
    return found | {"epochs": epochs, "training": training.minutes, "evaluation": evaluation.minutes}


class Watch:
    """Minutes between entering and leaving, on the clock and of the processor."""

    def __enter__(self) -> Watch:
        self.began = time.time(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        clock, processor = self.began
        self.minutes = {
            "minutes": round((time.time() - clock) / 60, 1),
            "processor_minutes": round((time.process_time() - processor) / 60, 1),
        }


def job(epochs: int, data: Path, state: Path) -> TrainingJob:
    images = epochs * EPOCH
    training = TrainConfig(
        total_images=images,
        batch_size=100,
        lr=1e-3,
        eps=1e-4,
        schedule="cosine",
        report_every=EPOCH,
        checkpoint_every=5 * EPOCH,
    )
    return TrainingJob("burda", {"name": "iwae"}, {"name": "elbo"}, training, load_dataset(data), state)


def trained(job: TrainingJob, folder: Path) -> LatentVariableModel:
    """The averaged model after the last step; a line for every ten epochs."""
    for progress in fit(job):
        if progress.images_seen % (10 * EPOCH) == 0 and not progress.resumed:
            metrics = {name: round(value, 2) for name, value in progress.metrics.items()}
            print(f"{time.strftime('%H:%M:%S')} {progress.images_seen // EPOCH} epochs {metrics}", flush=True)
    save_model(job, folder)
    return cast(LatentVariableModel, load(folder))


def log_likelihood(model: LatentVariableModel, x: Tensor) -> Tensor:
    """log p(x) [n] of images in [-1, 1], each binarised once; in float32, for the noise of bfloat16's logits raises the
    estimate by 0.005 nats in half the time."""
    binary = model.binarize_or_dequantize(x, torch.rand(x.shape, generator=seeded_generator("test", 0)))
    return importance_log_likelihood(model, binary, num_samples=SAMPLES, seed=0, chunk_size=PAIRS)


if __name__ == "__main__":
    main()
