"""Reconstruction: gradients reach every parameter, and the cross-entropy needs a bounded output."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from genlib.data.batches import batches
from genlib.data.images import Images
from genlib.errors import InputError
from genlib.models import autoencoder
from genlib.objectives import reconstruction

SHAPE = (1, 8, 8)
NETS = [("linear", False), ("linear", True), ("mlp", False), ("mlp", True), ("conv", False)]


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def made(shape=SHAPE, **options):
    return autoencoder.Build(shape, 10, **{"latent": 4, "width": 4} | options)


def black_and_white(n=32):
    return Images(255 * torch.randint(0, 2, (n, *SHAPE), dtype=torch.uint8))


def grey(n=32):
    return Images(torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8))


@pytest.mark.parametrize(("net", "tied"), NETS)
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
def test_gradients_reach_every_parameter(net, tied, loss):
    model = made(net=net, tied=tied, output="sigmoid")
    (turn,) = reconstruction.Build(loss=loss).phases(model)
    terms = turn.step_losses(next(batches(grey(), 8, seed=0)))
    assert terms.loss.shape == (8,)
    terms.loss.mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.count_nonzero(), name


def test_the_gradient_of_a_tied_weight_is_the_sum_of_both_uses():
    tied, free = made(net="linear", tied=True, output="linear"), made(net="linear", output="linear")
    weight = tied.encoder[1][0].weight
    with torch.no_grad():
        free.encoder[1][0].weight.copy_(weight)
        free.encoder[1][0].bias.copy_(tied.encoder[1][0].bias)
        free.decoder[0][0].weight.copy_(weight.T)
        free.decoder[0][0].bias.copy_(tied.decoder[0].biases[0])
    batch = next(batches(grey(), 8, seed=0))
    for model in (tied, free):
        reconstruction.Build().phases(model)[0].step_losses(batch).loss.mean().backward()
    both = free.encoder[1][0].weight.grad + free.decoder[0][0].weight.grad.T
    torch.testing.assert_close(weight.grad, both)


@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
def test_cross_entropy_is_that_of_the_output_as_an_intensity(output):
    model = made(net="mlp", output=output)
    batch = next(batches(grey(), 8, seed=0))
    terms = reconstruction.Build(loss="cross_entropy").phases(model)[0].step_losses(batch)
    p, intensity = (model.reconstruct(batch.x) + 1) / 2, (batch.x + 1) / 2
    expected = F.binary_cross_entropy(p, intensity, reduction="none").flatten(1).sum(1)
    torch.testing.assert_close(terms.loss, expected)
    torch.testing.assert_close(terms.logged["mse"], (model.reconstruct(batch.x) - batch.x).square().flatten(1).mean(1))


def test_cross_entropy_of_a_linear_output_is_refused():
    with pytest.raises(ValueError, match=r"^output: got linear, expected sigmoid or tanh"):
        reconstruction.Build(loss="cross_entropy").phases(made(output="linear"))
    model = made(net="mlp")
    (turn,) = reconstruction.Build(loss="cross_entropy").phases(model)
    model.on_fit_start(grey(), grey())
    with pytest.raises(InputError, match="got linear, chosen by auto"):
        turn.step_losses(next(batches(grey(), 8, seed=0)))
    model.on_fit_start(black_and_white(), grey())
    assert turn.step_losses(next(batches(black_and_white(), 8, seed=0))).loss.shape == (8,)


def test_a_model_without_codes_is_refused():
    with pytest.raises(ValueError, match="got Linear, expected a model with encode_mean"):
        reconstruction.Build().phases(torch.nn.Linear(2, 2))
