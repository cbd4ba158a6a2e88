"""Bayes' rule on MNIST: the classes of test digits from p(x|y) of a conditional VAE, and of class-wise Gaussians.

`python -m experiments.bayes [--images N] [--root FOLDER] [--keep FOLDER]`: p(y|x) is proportional to p(x|y) p(y). The
Gaussians are probabilistic PCA (Tipping and Bishop 1999) of each class. The official split; run again with the same
--keep, it goes on where it was. About ten minutes of one core.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from benchmarks.results import record
from genlib.data.batches import seeded_generator
from genlib.data.config import DataConfig
from genlib.data.dataset import Dataset, load_dataset, prepare
from genlib.data.images import Images, to_float
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=900_000)
    parser.add_argument("--root", type=Path, default=Path("data/raw"))
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary)
        if not (folder / "data").exists():
            prepare(DataConfig(name="mnist", root=asked.root, split="official"), folder / "data")
        dataset = load_dataset(folder / "data")
        rows = {
            f"class-wise PPCA, {COMPONENTS} components": judged(gaussians(dataset), dataset),
            "conditional VAE": judged(autoencoder(folder, asked.images), dataset),
        }
    for name, row in rows.items():
        print(f"{name}: {row['accuracy']:.2%} [{row['low']:.2%}, {row['high']:.2%}] of {row['n']:,} test digits")
    found = rows["conditional VAE"]["accuracy"]
    record("bayes: MNIST accuracy of a conditional VAE / 98 %", found / BOUND, 1.0, at_least=True, detail=rows)


def judged(log_likelihood: Tensor, dataset: Dataset) -> dict[str, Any]:
    """The accuracy of Bayes' rule by log p(x|y) [n, K] of the test images, with Wilson's interval."""
    labels, known = dataset.test.labels, dataset.train.labels
    assert labels is not None and known is not None
    prior = log_frequencies(known, len(dataset.classes))
    correct = int((normalize_posterior(log_likelihood, prior).argmax(1) == labels).sum())
    low, high = wilson(correct, len(labels))
    return {"accuracy": correct / len(labels), "low": low, "high": high, "n": len(labels)}


def gaussians(dataset: Dataset) -> Tensor:
    """log p(x|y) [n, K] by a Gaussian for each class, of intensities spread over their grey level."""
    started, (train, test) = time.process_time(), (dequantised(dataset.train), dequantised(dataset.test))
    labels = dataset.train.labels
    laws = [MultivariateNormal(*ppca(train[labels == c], COMPONENTS)) for c in range(len(dataset.classes))]
    found = torch.stack([law.log_prob(test) for law in laws], 1)
    print(f"PPCA: {time.process_time() - started:.0f} s of one core", flush=True)
    return found


def dequantised(images: Images) -> Tensor:
    """float64 [n, D] in [0, 1]."""
    pixels = images.pixels.flatten(1).double()
    return (pixels + torch.rand(pixels.shape, generator=seeded_generator("dequantise"), dtype=torch.float64)) / 256


def ppca(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance by maximum likelihood: the k largest eigenvalues stay, the others become their mean."""
    values, vectors = torch.linalg.eigh(x.T.cov(correction=0))
    values[:-k] = values[:-k].mean()
    return x.mean(0), vectors @ values.diag() @ vectors.T


def autoencoder(folder: Path, images: int) -> Tensor:
    """log p(x|y) [n, K] by the conditional VAE of the MNIST preset, averaged over draws of the binary image."""
    model, started = trained(folder, images), time.process_time()
    x = to_float(load_dataset(folder / "data").test.pixels)
    total = torch.zeros(len(x), 10, dtype=torch.float64)
    for draw in range(DRAWS):
        binary = model.binarize_or_dequantize(x, torch.rand(x.shape, generator=seeded_generator("test", draw)))
        total += class_log_likelihoods(model, binary, 10, num_samples=SAMPLES, seed=draw)
        print(f"draw {draw + 1} of {DRAWS}: {time.process_time() - started:.0f} s of one core", flush=True)
    return total / DRAWS


def trained(folder: Path, images: int) -> LatentVariableModel:
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
    job = TrainingJob(
        "cvae", options, {"name": "elbo"}, training, load_dataset(folder / "data"), folder / f"state-{images}"
    )
    started = time.process_time()
    for progress in fit(job):
        seconds = time.process_time() - started
        print(f"{progress.images_seen:,} images, {seconds:.0f} s of one core, {dict(progress.metrics)}", flush=True)
    save_model(job, folder / f"model-{images}")
    model = load(folder / f"model-{images}")
    assert isinstance(model, LatentVariableModel)
    return model


if __name__ == "__main__":
    main()
