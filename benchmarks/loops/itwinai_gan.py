"""itwinai's `GANTrainer`, without a logger; its validation, a Frechet distance, lies beyond the window."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

from itwinai.torch.gan import GANTrainer
from torch import Tensor, nn

from benchmarks.loops import BATCH, BETAS, RATE, Task, Window, serve_windows
from benchmarks.loops.players import Digits, build_gan


class CountingTrainer(GANTrainer):
    window: Window

    def train_step(self, real_images: Tensor, batch_idx: int) -> tuple[Tensor, Tensor, Tensor]:
        losses = super().train_step(real_images, batch_idx)
        self.window.step(len(real_images))
        return losses


def prepare(task: Task) -> Callable[[Window], None]:
    images = task.load()
    folder = tempfile.mkdtemp()

    def run(window: Window) -> None:
        generator, discriminator, latent = build_gan(task, images.shape)
        config: dict[str, Any] = {
            "batch_size": BATCH,
            "z_dim": latent,
            "optim_generator_lr": RATE,
            "optim_discriminator_lr": RATE,
            "optim_generator_betas": BETAS,
            "optim_discriminator_betas": BETAS,
            "num_workers_dataloader": 0,
            "shuffle_train": True,
            "pin_gpu_memory": False,
        }
        trainer = CountingTrainer(
            config=config,
            epochs=10**6,
            discriminator=nn.Sequential(*discriminator, nn.Sigmoid()),
            generator=generator,
            strategy=None,
            checkpoints_location=folder,
        )
        trainer.window = window
        trainer.execute(Digits(images), Digits(images))

    return run


if __name__ == "__main__":
    serve_windows(prepare)
