"""A loop in the way of PyTorch-GAN: a DataLoader over PIL images, noise from numpy, losses read at every step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.loops import BETAS, RATE, Task, Window, serve_windows
from benchmarks.loops.players import build_gan, loader


def prepare(task: Task) -> Callable[[Window], None]:
    images = task.load()

    def run(window: Window) -> None:
        generator, discriminator, latent = build_gan(task, images.shape)
        discriminator = nn.Sequential(*discriminator, nn.Sigmoid())
        g, d = (torch.optim.Adam(net.parameters(), RATE, BETAS) for net in (generator, discriminator))
        while True:
            for x, _ in loader(images):
                step(generator, discriminator, g, d, x, latent)
                window.step(len(x))

    return run


def step(
    generator: nn.Module,
    discriminator: nn.Module,
    g: torch.optim.Optimizer,
    d: torch.optim.Optimizer,
    x: Tensor,
    latent: int,
) -> None:
    """G's turn, then D's on the same images; D is not frozen in G's."""
    loss, real, fake = nn.BCELoss(), torch.ones(len(x)), torch.zeros(len(x))
    g.zero_grad()
    z = torch.tensor(np.random.normal(0, 1, (len(x), latent, 1, 1)), dtype=torch.float32)
    made = generator(z)
    g_loss = loss(discriminator(made), real)
    g_loss.backward()
    g.step()

    d.zero_grad()
    d_loss = 0.5 * (loss(discriminator(x), real) + loss(discriminator(made.detach()), fake))
    d_loss.backward()
    d.step()
    print(f"D loss: {d_loss.item():f}, G loss: {g_loss.item():f}")


if __name__ == "__main__":
    serve_windows(prepare)
