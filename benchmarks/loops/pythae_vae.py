"""pythae's own VAE and `BaseTrainer`, with our encoder and decoder; it keeps the images as floats in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor, nn

from benchmarks.loops import BATCH, RATE, Task, Window, serve_windows
from genlib.models.iwae import IWAE
from genlib.models.layers.diagonal_normal import DiagonalNormal


class ToDiagonalNormal(nn.Module):
    """[n, 2 d] -> N(mean, exp(log_variance))."""

    def forward(self, moments: Tensor) -> DiagonalNormal:
        return DiagonalNormal.from_moments(moments)


class Encoder(BaseEncoder):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> ModelOutput:
        q = self.net(x)
        return ModelOutput(embedding=q.mean, log_covariance=q.log_variance)


class Decoder(BaseDecoder):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.net(z)))


def encoder_and_decoder(model: Any) -> tuple[Encoder, Decoder]:
    """Of a convolutional VAE or of the multilayer perceptrons of Burda et al.; q is of images in [0, 1]."""
    if isinstance(model, IWAE):
        return Encoder(nn.Sequential(nn.Flatten(), model.up[0])), Decoder(model.pixels)
    return Encoder(nn.Sequential(model.encoder, ToDiagonalNormal())), Decoder(model.decoder)


class StepCounter(TrainingCallback):
    def __init__(self, window: Window) -> None:
        self.window = window

    def on_train_step_end(self, training_config: BaseTrainerConfig, **more: Any) -> None:
        self.window.step(BATCH)


def prepare(task: Task) -> Callable[[Window], None]:
    images = task.load()
    data = BaseDataset(images.pixels.float() / 255, torch.zeros(len(images)))
    folder = tempfile.mkdtemp()

    def run(window: Window) -> None:
        model: Any = task.start(images.shape)[0].model.to(memory_format=torch.contiguous_format)
        config = VAEConfig(input_dim=images.shape, latent_dim=model.latent, reconstruction_loss="bce")
        plan = BaseTrainerConfig(
            folder, num_epochs=10**6, learning_rate=RATE, per_device_train_batch_size=BATCH, no_cuda=True
        )
        vae = VAE(config, *encoder_and_decoder(model))
        BaseTrainer(vae, data, training_config=plan, callbacks=[StepCounter(window)]).train()

    return run


if __name__ == "__main__":
    serve_windows(prepare)
