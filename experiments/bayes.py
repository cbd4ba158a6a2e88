"""Bayes' rule on MNIST: the classes of test digits from p(x|y) of a conditional VAE, and of class-wise Gaussians.

p(y|x) is proportional to p(x|y) p(y). The Gaussians are probabilistic PCA (Tipping and Bishop 1999) of each class. The
official split.

Command: `python -m experiments.bayes [--data PATH] [--state FOLDER] [--images N]`; PATH holds the files of MNIST.
Cost: thirteen minutes of one core.
Expect: 98.48 % [98.22, 98.70] by the conditional VAE, 95.62 % [95.20, 96.00] by the Gaussians.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from benchmarks.results import record
from experiments.common import FinishedRows, new_parser, open_data, open_state
from genlib.data.config import DataConfig
from genlib.data.dataset import Dataset
from genlib.data.images import Images, to_float
from genlib.data.random import seeded_generator
from genlib.metrics.stats.bayes import class_log_likelihoods, log_frequencies, normalize_posterior
from genlib.metrics.stats.intervals import wilson
from genlib.models.layers.latent_variable import LatentVariableModel
from genlib.registry import load
from genlib.training.config import TrainConfig
from genlib.training.fit import fit
from genlib.training.job import TrainingJob, save_model

BOUND = 0.98
COMPONENTS = 20
DRAWS, SAMPLES = 8, 4  # binarisations of a test image, importance samples of each under each class


def main() -> None:
    parser = new_parser(__doc__, "the folder with the files of MNIST [data/raw]", Path("data/raw"))
    parser.add_argument("--images", type=int, default=900_000)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with open_state(args.state) as state:
        dataset = open_data(None, DataConfig(name="mnist", root=args.data, split="official"), state)
        finished, name = FinishedRows(state), f"class-wise PPCA, {COMPONENTS} components"
        rows = {
            name: finished.get(name, evaluate_ppca, dataset),
            "conditional VAE": finished.get(f"VAE, {args.images}", evaluate_vae, dataset, state, args.images),
        }
    for name, row in rows.items():
        print(f"{name}: {row['accuracy']:.2%} [{row['low']:.2%}, {row['high']:.2%}] of {row['n']:,} test digits")
    found = rows["conditional VAE"]["accuracy"]
    record("bayes: MNIST accuracy of a conditional VAE / 98 %", found / BOUND, 1.0, at_least=True, detail=rows)


def evaluate_ppca(dataset: Dataset) -> dict[str, Any]:
    return accuracy_by_bayes(ppca_log_likelihood(dataset), dataset)


def evaluate_vae(dataset: Dataset, state: Path, images: int) -> dict[str, Any]:
    return accuracy_by_bayes(vae_log_likelihood(dataset, state, images), dataset)


def accuracy_by_bayes(log_likelihood: Tensor, dataset: Dataset) -> dict[str, Any]:
    """The accuracy of Bayes' rule by log p(x|y) [n, K] of the test images, with Wilson's interval."""
    labels, known = dataset.test.labels, dataset.train.labels
    assert labels is not None and known is not None
    prior = log_frequencies(known, len(dataset.classes))
    correct = int((normalize_posterior(log_likelihood, prior).argmax(1) == labels).sum())
    low, high = wilson(correct, len(labels))
    return {"accuracy": correct / len(labels), "low": low, "high": high, "n": len(labels)}


def ppca_log_likelihood(dataset: Dataset) -> Tensor:
    """log p(x|y) [n, K] by a Gaussian for each class, of intensities spread over their grey level."""
    started, (train, test) = time.process_time(), (dequantize(dataset.train), dequantize(dataset.test))
    labels = dataset.train.labels
    gaussians = [MultivariateNormal(*fit_ppca(train[labels == c], COMPONENTS)) for c in range(len(dataset.classes))]
    found = torch.stack([gaussian.log_prob(test) for gaussian in gaussians], 1)
    print(f"PPCA: {time.process_time() - started:.0f} s of one core", flush=True)
    return found


def dequantize(images: Images) -> Tensor:
    """float64 [n, D] in [0, 1]."""
    pixels = images.pixels.flatten(1).double()
    return (pixels + torch.rand(pixels.shape, generator=seeded_generator("dequantise"), dtype=torch.float64)) / 256


def fit_ppca(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance by maximum likelihood: the k largest eigenvalues stay, the others become their mean."""
    values, vectors = torch.linalg.eigh(x.T.cov(correction=0))
    values[:-k] = values[:-k].mean()
    return x.mean(0), vectors @ values.diag() @ vectors.T


def vae_log_likelihood(dataset: Dataset, state: Path, images: int) -> Tensor:
    """log p(x|y) [n, K] by the conditional VAE of the MNIST preset, averaged over draws of the binary image."""
    model, started = train_vae(dataset, state, images), time.process_time()
    x = to_float(dataset.test.pixels)
    total = torch.zeros(len(x), 10, dtype=torch.float64)
    for draw in range(DRAWS):
        binary = model.binarize_or_dequantize(x, torch.rand(x.shape, generator=seeded_generator("test", draw)))
        total += class_log_likelihoods(model, binary, 10, num_samples=SAMPLES, seed=draw)
        print(f"draw {draw + 1} of {DRAWS}: {time.process_time() - started:.0f} s of one core", flush=True)
    return total / DRAWS


def train_vae(dataset: Dataset, state: Path, images: int) -> LatentVariableModel:
    options = {"name": "cvae", "latent": 16, "width": 32, "pixel_likelihood": "binarized"}
    training = TrainConfig(
        total_images=images,
        lr=2e-3,
        schedule="linear",
        decay_start=0.5,
        ema=0.998,
        report_every=images // 20,
        checkpoint_every=images // 10,
    )
    job = TrainingJob("cvae", options, {"name": "elbo"}, training, dataset, state / f"checkpoints-{images}")
    started = time.process_time()
    for progress in fit(job):
        seconds = time.process_time() - started
        print(f"{progress.images_seen:,} images, {seconds:.0f} s of one core, {dict(progress.metrics)}", flush=True)
    save_model(job, state / f"model-{images}")
    model = load(state / f"model-{images}")
    assert isinstance(model, LatentVariableModel)
    return model


if __name__ == "__main__":
    main()
