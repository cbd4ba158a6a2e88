"""The IWAE networks against the paper, and their two layers against torch's distributions."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from likelihood_models import FAMILY, batch_of, images
from torch.distributions import Independent, Normal

from genlib.models import iwae


def factor(block, v):
    h = block.hidden(v)
    return Independent(Normal(block.mean(h), block.log_deviation(h).exp()), 1)


def test_the_two_layers_agree_with_their_factors():
    """log p(x|h) + log p(h|z) + log p(z) - log q(h|x) - log q(z|h) by torch's own distributions."""
    torch.manual_seed(0)
    model, x, draws = FAMILY["iwae, two layers"](), batch_of(4).x.sign(), torch.randn(2, 4, 150)
    q_h = factor(model.up[0], (x.flatten(1) + 1) / 2)
    h = q_h.mean + q_h.stddev * draws[..., 50:]
    q_z = factor(model.up[1], h)
    z = q_z.mean + q_z.stddev * draws[..., :50]
    p_x = torch.distributions.Bernoulli(logits=model.pixels(h))
    prior = Independent(Normal(torch.zeros(50), torch.ones(50)), 1)
    joint = p_x.log_prob((x.flatten(1) + 1) / 2).sum(-1) + factor(model.down[0], z).log_prob(h) + prior.log_prob(z)
    torch.testing.assert_close(model.log_weights(x, draws), joint - q_h.log_prob(h) - q_z.log_prob(z))


def affine(*sizes):
    return sum((a + 1) * b for a, b in pairwise(sizes))


def test_iwae_has_the_parameters_of_the_paper():
    """784-200-200-(50, 50), 50-200-200-784; 784-200-200-(100, 100), 100-100-100-(50, 50), 50-100-100-(100, 100), ..."""
    models = {k: iwae.Build((1, 28, 28), 0, layers=k, pixel_likelihood="binarized") for k in (1, 2)}
    count = {k: sum(p.numel() for p in model.parameters()) for k, model in models.items()}
    assert count[1] == affine(784, 200, 200, 100) + affine(50, 200, 200, 784)
    wide = affine(784, 200, 200, 200) + affine(100, 200, 200, 784)
    assert count[2] == wide + affine(100, 100, 100, 100) + affine(50, 100, 100, 200)


def test_iwae_begins_at_glorots_range_and_at_the_mean_image():
    torch.manual_seed(0)
    model = iwae.Build((1, 28, 28), 0, pixel_likelihood="binarized")
    first = model.up[0].hidden[0]
    limit = math.sqrt(6 / (784 + 200))
    assert 0.99 * limit < first.weight.abs().max() <= limit
    assert not first.bias.any()
    data = images((1, 28, 28), 700)
    data.pixels[:, :, 0] = 0
    with torch.no_grad():
        model.on_fit_start(data, data)
    mean = (data.pixels.double() / 255).mean(0).flatten()
    torch.testing.assert_close(model.pixels[-1].bias.sigmoid().double(), mean.clamp(0.001, 0.999), rtol=1e-4, atol=1e-6)
    assert model.pixels[-1].bias[0].sigmoid().item() == pytest.approx(0.001, rel=1e-3)
