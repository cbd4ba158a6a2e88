"""Lightning, in the pattern of its GAN example: manual optimisation, one toggled optimiser for each player."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy

from benchmarks.loops import BATCH, BETAS, RATE, Task, Window, serve_windows
from benchmarks.loops.players import build_gan, loader


class GAN(LightningModule):
    def __init__(self, generator: nn.Module, discriminator: nn.Module, latent: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator, self.discriminator, self.latent = generator, discriminator, latent

    def training_step(self, batch: tuple[Tensor, Tensor]) -> None:
        images, _ = batch
        opt_g, opt_d = self.optimizers()
        z = torch.randn(len(images), self.latent, 1, 1)
        real, fake = torch.ones(len(images)), torch.zeros(len(images))

        self.toggle_optimizer(opt_g)
        g_loss = cross_entropy(self.discriminator(self.generator(z)), real)
        opt_g.zero_grad()
        self.manual_backward(g_loss)
        opt_g.step()
        self.untoggle_optimizer(opt_g)

        self.toggle_optimizer(opt_d)
        d_loss = cross_entropy(self.discriminator(images), real)
        d_loss = (d_loss + cross_entropy(self.discriminator(self.generator(z).detach()), fake)) / 2
        opt_d.zero_grad()
        self.manual_backward(d_loss)
        opt_d.step()
        self.untoggle_optimizer(opt_d)
        self.log_dict({"d_loss": d_loss, "g_loss": g_loss})

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list[Any]]:
        return [torch.optim.Adam(net.parameters(), RATE, BETAS) for net in (self.generator, self.discriminator)], []


class StepCounter(Callback):
    def __init__(self, window: Window) -> None:
        self.window = window

    def on_train_batch_end(self, *_: Any) -> None:
        self.window.step(BATCH)


def prepare(task: Task) -> Callable[[Window], None]:
    images = task.load()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    without = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)

    def run(window: Window) -> None:
        trainer = Trainer(accelerator="cpu", devices=1, max_epochs=-1, callbacks=[StepCounter(window)], **without)
        trainer.fit(GAN(*build_gan(task, images.shape)), loader(images))

    return run


if __name__ == "__main__":
    serve_windows(prepare)
