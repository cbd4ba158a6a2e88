"""How probable MNIST's test digits are under the one-layer network of Burda, Grosse and Salakhutdinov 2016, k = 1.

Digits are binarised anew at every visit, the test digits once. 55,000 images train; the validation images that
`prepare` holds out are not used. One thread is faster than two: the matrices are small.

Command: `python -m experiments.likelihood [--data PATH] [--state FOLDER] [--epochs N]`; PATH holds the files of MNIST.
Cost: forty-six minutes of one core, 40 of them training.
Expect: 87.14 nats with a standard error of 0.23; the paper has 86.76 after 3,280 epochs.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from benchmarks.results import record
from experiments.common import FinishedRows, new_parser, open_data, open_state
from genlib.data.config import DataConfig
from genlib.data.dataset import Dataset
from genlib.data.images import to_float
from genlib.data.random import seeded_generator
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
    parser = new_parser(__doc__, "the folder with the files of MNIST [data/raw]", Path("data/raw"))
    parser.add_argument("--epochs", type=int, default=600)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with open_state(args.state) as state:
        dataset = open_data(None, DataConfig(name="mnist", root=args.data, split="official"), state)
        detail = FinishedRows(state).get(f"{args.epochs} epochs", measure, args.epochs, dataset, state)
    print(json.dumps(detail, indent=2))
    name = f"likelihood: MNIST, one-layer net of Burda et al., k = 1, in nats / {BOUND}"
    record(name, detail["nll"] / BOUND, 1.0, at_least=False, detail=detail)


def measure(epochs: int, dataset: Dataset, state: Path) -> dict[str, Any]:
    """The figures of a run whose checkpoints and model lie in `state`; times are of this process alone."""
    with Watch() as training:
        model = train_model(build_job(epochs, dataset, state / f"checkpoints-{epochs}"), state / f"model-{epochs}")
    with Watch() as evaluation:
        nll = -log_likelihood(model, to_float(dataset.test.pixels))
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


def build_job(epochs: int, dataset: Dataset, checkpoint_dir: Path) -> TrainingJob:
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
    model = {"name": "iwae", "pixel_likelihood": "binarized"}
    return TrainingJob("burda", model, {"name": "elbo"}, training, dataset, checkpoint_dir)


def train_model(job: TrainingJob, folder: Path) -> LatentVariableModel:
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
