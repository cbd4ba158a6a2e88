"""The importance-weighted bound and its doubly reparameterised gradient against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from likelihood_models import FAMILY, OBJECTIVES, SHAPE, Linear, N, Points, evidence, noise, points, terms
from torch import nn

from genlib.models.layers.diagonal_normal import DiagonalNormal
from genlib.models.layers.pixel_likelihood import Gaussian
from genlib.objectives import iwae as iwae_bound


@pytest.mark.parametrize("k", [1, 3, 50])
def test_with_the_exact_posterior_every_weight_is_the_evidence(k):
    model, x = Linear(), points()
    weights = model.log_weights(x, noise(k, N, 2))
    torch.testing.assert_close(weights, evidence(model, x).expand(k, N))
    for dreg in (False, True):
        found = terms(iwae_bound.Build(k=k, dreg=dreg), model, Points(x))
        torch.testing.assert_close(-found.loss, evidence(model, x))
        torch.testing.assert_close(found.logged["bound"], evidence(model, x))
        torch.testing.assert_close(found.logged["effective_samples"], torch.full((N,), float(k), dtype=torch.float64))


def test_the_importance_weighted_bound_rises_with_k_to_the_evidence():
    """By 4 standard errors from each k to the next, and at the last to within 0.01 nats."""
    model, x, means, errors = Linear(exact=False), points(1), [], []
    for k, draws in ((1, 4000), (2, 4000), (5, 4000), (25, 4000), (1000, 400)):
        rows = x.expand(draws, *SHAPE)
        bound = terms(iwae_bound.Build(k=k), model, Points(rows, seed=k)).logged["bound"]
        means.append(bound.mean().item())
        errors.append(bound.std().item() / math.sqrt(draws))
    for i in range(4):
        assert means[i + 1] - means[i] > 4 * errors[i]
    assert means[-1] == pytest.approx(evidence(model, x).item(), abs=0.01)


def gradients(k, dreg, draws=6000):
    """Of `draws` independent estimates at one x, by an offset of the encoder's mean and one of the decoder's."""
    x = points(1).expand(draws, *SHAPE)
    encoder, decoder = (nn.Parameter(torch.zeros(draws, size, dtype=torch.float64)) for size in (2, 6))

    class Offset(Linear):
        def encode(self, x, y=None):
            q = super().encode(x)
            return DiagonalNormal(q.mean + encoder, q.log_variance)

        def decode(self, z, y=None):
            p = super().decode(z)
            return Gaussian(p.mean + decoder.repeat(len(z) // draws, 1).view_as(p.mean), p.log_variance)

    terms(iwae_bound.Build(k=k, dreg=dreg), Offset(exact=False), Points(x)).loss.sum().backward()
    return encoder.grad, decoder.grad


@pytest.mark.parametrize("k", [2, 10])
def test_the_doubly_reparameterised_gradient_has_the_same_mean_and_less_variance(k):
    (plain, plain_decoder), (doubly, doubly_decoder) = gradients(k, False), gradients(k, True)
    error = (plain.var(0) + doubly.var(0)).sqrt() / math.sqrt(len(plain))
    assert ((plain.mean(0) - doubly.mean(0)).abs() < 4 * error).all()
    assert (doubly.mean(0).abs() > 5 * error).any()
    assert (doubly.var(0) < 0.7 * plain.var(0)).all()
    torch.testing.assert_close(doubly_decoder, plain_decoder)


def test_at_the_exact_posterior_the_doubly_reparameterised_gradient_has_no_variance():
    model = Linear()
    terms(iwae_bound.Build(k=5, dreg=True), model, Points(points())).loss.sum().backward()
    for parameter in (model.a, model.v, model.a_matrix):
        torch.testing.assert_close(parameter.grad, torch.zeros_like(parameter), rtol=0, atol=1e-9)


def test_doubly_reparameterised_gradients_need_one_stochastic_layer():
    with pytest.raises(ValueError, match="dreg: got true, expected false"):
        iwae_bound.Build(dreg=True).phases(FAMILY["iwae, two layers"]())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_model_without_a_likelihood_is_refused(objective):
    with pytest.raises(ValueError, match="got Linear, expected a model with log_weights"):
        OBJECTIVES[objective]().phases(nn.Linear(2, 2))
