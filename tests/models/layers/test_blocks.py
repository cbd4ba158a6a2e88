"""Channels grow with the levels of a net up to a cap, and small images keep the nets that they had."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genlib.models import autoencoder, cgan, cvae, dcgan, gan, vae
from genlib.models.layers.blocks import channel_schedule

MODELS = {
    "autoencoder": autoencoder.Build,
    "vae": vae.Build,
    "cvae": cvae.Build,
    "gan": gan.Build,
    "residual gan": lambda *data, **options: gan.Build(*data, net="residual", **options),
    "cgan": cgan.Build,
    "dcgan": dcgan.Build,
}
EVERY = pytest.mark.parametrize("name", MODELS)


@pytest.mark.parametrize(
    ("levels", "cap", "expected"),
    [
        (3, 8, [5, 10, 20]),
        (4, 8, [5, 10, 20, 40]),
        (6, 8, [5, 10, 20, 40, 40, 40]),
        (4, 1, [5] * 4),
        (3, 3, [5, 10, 15]),
    ],
)
def test_channels_double_up_to_the_cap(levels, cap, expected):
    assert channel_schedule(5, levels, cap) == expected


def widest(name, side, cap):
    with torch.device("meta"):
        model = MODELS[name]((1, side, side), 10, width=4, max_channel_mult=cap)
    return max(layer.out_channels for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d))


@EVERY
@pytest.mark.parametrize("side", [8, 16, 28, 32])
def test_nets_of_small_images_are_those_of_the_former_cap(name, side):
    shapes = []
    for cap in (4, 8):
        with torch.device("meta"):
            model = MODELS[name]((1, side, side), 10, max_channel_mult=cap)
        shapes.append({key: tensor.shape for key, tensor in model.state_dict().items()})
    assert shapes[0] == shapes[1]


@EVERY
def test_nets_of_large_images_grow_up_to_the_cap(name):
    floor = 32 if name in ("gan", "residual gan", "cgan", "dcgan") else 4  # width_d
    assert widest(name, 128, 8) == 8 * floor
    assert widest(name, 128, 2) == 2 * floor
