"""Small GANs of every kind, losses and penalties of every kind, and batches for them."""

from __future__ import annotations

import math

import pytest
import torch

from genlib.data.batches import Batch, batches
from genlib.data.images import Images
from genlib.objectives.common.gan_losses import LOSSES
from genlib.registry import build

SHAPE, CLASSES = (1, 16, 16), 10


SMALL = {"latent": 3, "width": 4, "width_d": 5}


PLAYERS = {
    "gan": ("gan", {}),
    "softmax gan": ("gan", {"head": "softmax", "prior": "uniform"}),
    "residual gan": ("gan", {"net": "residual"}),
    "mlp gan": ("gan", {"net": "mlp"}),
    "bounded gan": ("gan", {"spectral_norm": True}),
    "packed gan": ("gan", {"pack": 2}),
    "projection": ("cgan", {"condition": "projection"}),
    "concat": ("cgan", {"condition": "concat", "prior": "uniform"}),
    "softmax projection": ("cgan", {"head": "softmax", "net": "residual"}),
    "mlp concat": ("cgan", {"condition": "concat", "net": "mlp"}),
    "bounded projection": ("cgan", {"spectral_norm": True}),
}


OBJECTIVES = {
    **{loss: {"loss": loss} for loss in LOSSES},
    "penalties": {"loss": "relativistic", "r1": 0.3, "r2": 0.2},
    "wgan-gp": {"loss": "wasserstein", "gradient_penalty": 10.0},
    "noise": {"instance_noise": 0.5, "label_smoothing": 0.1},
}


EVERY_PLAYER = pytest.mark.parametrize("players", PLAYERS)


EVERY_OBJECTIVE = pytest.mark.parametrize("objective", OBJECTIVES)


def made(players, shape=SHAPE):
    name, options = PLAYERS[players]
    torch.manual_seed(0)
    model = build("models", {"name": name, **SMALL, **options}, shape, CLASSES)
    return model.to(memory_format=torch.channels_last)


def images(shape=SHAPE, n=24):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.randint(0, CLASSES, (n,), generator=generator))


def batch_of(data, size=12, step=0, rank=0, world=1) -> Batch:
    return next(batches(data, size, seed=3, step=step, rank=rank, world=world))


def told(model, n):
    """Further inputs of a conditional model's players."""
    return (torch.arange(n) % CLASSES,) if model.conditional else ()


REAL, FAKE = torch.tensor([2.0, -0.5]), torch.tensor([0.3, -1.7])


def sigmoid(logit):
    return 1 / (1 + math.exp(-logit))
