"""Operations of a step, against sums by hand."""

import pytest
import torch
from torch import nn

from genlib.registry import build
from genlib.training.config import TrainConfig
from genlib.training.job import TrainingSpec
from pipelines.flops import FlopCounter, flops_per_image

SHAPE = (3, 16, 16)
ADVERSARIAL = {"name": "adversarial"}


def spec(model, objective, **options):
    return TrainingSpec("m", {"name": model, **options}, objective, TrainConfig())


def count(model, objective=None, shape=SHAPE, num_classes=10, num_domains=1, **options):
    return flops_per_image(spec(model, objective or {"name": "elbo"}, **options), shape, num_classes, num_domains)


def test_a_product_and_its_sum_are_two_forward_and_four_backward():
    layer, x = nn.Linear(7, 5, device="meta"), torch.empty(11, 7, device="meta", requires_grad=True)
    with FlopCounter() as counter:
        layer(x).sum().backward()
    assert counter.total == 3 * 2 * 11 * 7 * 5


def test_linear_layers_are_counted_by_their_weights():
    """Codes of one linear layer each way: forward 2 operations a weight, backward 4, but none to the image."""
    width = 3 * 16 * 16
    found = count("autoencoder", {"name": "reconstruction"}, net="linear", latent=8)
    assert found == (4 + 6) * width * 8


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_four_times_the_pixels_are_about_four_times_the_operations(model):
    objective = {"name": "adversarial", "r1": 1.0} if model == "gan" else None
    small, large = (count(model, objective, shape=(3, side, side), width=8) for side in (32, 64))
    assert 3 < large / small < 6


def test_penalties_count_as_often_as_they_are_due():
    losses = [{"name": "adversarial", "r1": r1, "lazy_reg_interval": k} for r1, k in ((0.0, 1), (1.0, 4), (1.0, 1))]
    none, lazy, always = (count("gan", each, width=8, width_d=8) for each in losses)
    assert lazy - none == pytest.approx((always - none) / 4)
    assert always > none


def test_a_pair_of_domains_is_counted():
    assert count("cyclegan", {"name": "translation"}, num_domains=2, width=4, width_d=4) > 0


@pytest.mark.parametrize("side", [16, 32])
def test_operations_of_a_gan_are_those_of_its_convolutions(side):
    """Forward, a layer costs two operations a weight and place; backward, as much again for its weights and for its
    input, where those are asked for."""
    options = {"latent": 8, "width": 4, "width_d": 6}
    players = build("models", {"name": "dcgan", **options}, (1, side, side), 0)
    g = forward(players.generator, torch.zeros(1, 8))
    d = forward(players.discriminator, torch.zeros(1, 1, side, side))
    d_turn = sum(g) + 2 * (3 * sum(d) - d[0])
    g_turn = (3 * sum(g) - g[0]) + 2 * sum(d)
    assert count("dcgan", ADVERSARIAL, shape=(1, side, side), num_classes=0, **options) == d_turn + g_turn


def forward(net, x):
    """Operations of each layer of `net` on one example."""
    found = []
    for layer in net:
        y = layer(x)
        if isinstance(layer, nn.ConvTranspose2d):
            found.append(2 * x[0, 0].numel() * layer.weight.numel())
        elif isinstance(layer, nn.Conv2d):
            found.append(2 * y[0, 0].numel() * layer.weight.numel())
        x = y
    return found
