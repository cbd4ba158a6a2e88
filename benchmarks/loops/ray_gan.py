"""The loop of Ray's tuning example `pbt_dcgan_mnist`, of which our DCGAN has the nets.

It scores every batch it made; that is left out, and its place at the end of a step is where steps are counted.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from ray.tune.examples.pbt_dcgan_mnist import common
from torch import nn

from benchmarks.loops import BATCH, BETAS, ENDLESS, RATE, Task, Window, serve_windows
from benchmarks.loops.players import build_gan, loader


def prepare(task: Task) -> Callable[[Window], None]:
    images = task.load()
    common.train_iterations_per_step = ENDLESS

    def run(window: Window) -> None:
        generator, discriminator, common.nz = build_gan(task, images.shape)
        discriminator = nn.Sequential(*discriminator, nn.Sigmoid())
        common.inception_score = lambda *_: (window.step(BATCH), 0.0)
        g, d = (torch.optim.Adam(net.parameters(), RATE, BETAS) for net in (generator, discriminator))
        data, loss = loader(images), nn.BCELoss()
        while True:
            common.train_func(discriminator, generator, g, d, loss, data, 1, torch.device("cpu"), None)

    return run


if __name__ == "__main__":
    serve_windows(prepare)
