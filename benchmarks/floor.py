"""Our loop against the floor: the same nets and optimiser in the shortest loop one would write by hand.

The images are floats on the device already, a batch is an index of random rows, noise comes from one generator, and
nothing is averaged, watched, sharded or repeatable. In turns in one process, in float32;
`python -m benchmarks.floor [--rounds N] [--seconds S]`; the ratio is the median over pairs.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import softplus

from benchmarks.loops import BATCH, Task, Window, images_per_second, ours
from benchmarks.peers import make_digits
from benchmarks.results import record
from genlib.data.images import save_images, to_float

SIDE, BOUND = 32, 0.95
GAN = {"name": "dcgan", "latent": 64, "width": 32, "width_d": 32}
VAE = {"name": "vae", "latent": 16, "width": 32, "pixel_likelihood": "gray_bce"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a window [10]")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.safetensors"
        save_images(make_digits(SIDE), file)
        for objective, model, floor in (("adversarial", GAN, gan_step), ("elbo", VAE, vae_step)):
            task = Task(model, {"name": objective}, str(file), torch.get_num_threads())
            compare_to_floor(task, floor, asked.rounds, asked.seconds)


def compare_to_floor(
    task: Task, floor: Callable[[Task, Tensor], Callable[[], None]], rounds: int, seconds: float
) -> None:
    mine, x = ours.prepare(task), to_float(task.load().pixels).contiguous(memory_format=torch.channels_last)

    def bare(window: Window) -> None:
        step = floor(task, x)
        while True:
            step()
            window.step(BATCH)

    pairs = [(images_per_second(mine, seconds), images_per_second(bare, seconds)) for _ in range(rounds)]
    detail = {
        "model": task.model,
        "side": SIDE,
        "threads": task.threads,
        "images_per_second": [{"loop": round(loop), "floor": round(least)} for loop, least in pairs],
    }
    name = f"training: bare loop / floor, {task.model['name']}"
    ratios = [loop / least for loop, least in pairs]
    record(name, median(ratios), BOUND, at_least=True, detail=detail, rounds=ratios)


def gan_step(task: Task, x: Tensor) -> Callable[[], None]:
    """A step of both players, D frozen in G's turn."""
    state, _ = task.start((1, SIDE, SIDE))
    model: Any = state.model
    d_adam, g_adam = state.optimizers
    g, d, latent = model.generator, model.discriminator, model.latent

    def step() -> None:
        real = x[torch.randint(len(x), (BATCH,))]
        with torch.no_grad():
            fake = g(torch.randn(BATCH, latent))
        d.requires_grad_(True)
        torch.autograd.backward((softplus(-d(real)) + softplus(d(fake))).mean())
        d_adam.step()
        d_adam.zero_grad()

        d.requires_grad_(False)
        torch.autograd.backward(softplus(-d(g(torch.randn(BATCH, latent)))).mean())
        g_adam.step()
        g_adam.zero_grad()

    return step


def vae_step(task: Task, x: Tensor) -> Callable[[], None]:
    """A step of the evidence lower bound of grey images."""
    state, _ = task.start((1, SIDE, SIDE))
    model: Any = state.model
    [adam] = state.optimizers

    def step() -> None:
        real = x[torch.randint(len(x), (BATCH,))]
        mean, log_variance = model.encoder(real).chunk(2, dim=1)
        logits = model.decoder(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        torch.autograd.backward((cross_entropy(logits, (real + 1) / 2, reduction="sum") + kl) / BATCH)
        adam.step()
        adam.zero_grad()

    return step


if __name__ == "__main__":
    main()
