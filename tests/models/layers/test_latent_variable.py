"""Latent-variable models and pixel distributions against torch's and closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from likelihood_models import FAMILY, Linear, N, batch_of, evidence, made, noise, normal, points
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn import functional as F

from genlib.data.images import to_float
from genlib.models import cvae, iwae, vae
from genlib.models.layers.diagonal_normal import DiagonalNormal, standard_normal_log_prob
from genlib.models.layers.latent_variable import LatentVariableModel
from genlib.models.layers.pixel_likelihood import LOG_VARIANCE_RANGE, Bernoulli, Gaussian, squash_into


def test_a_wrong_posterior_loses_its_divergence_from_the_right_one():
    """E log w = log p(x) - KL(q || posterior), to 5 standard errors."""
    model, x, k = Linear(exact=False), points(), 20_000
    right, wrong = Linear().encode(x), model.encode(x)
    weights = model.log_weights(x, noise(k, N, 2)).detach()
    lost = kl_divergence(normal(wrong), normal(right)).detach()
    assert ((weights.mean(0) - evidence(model, x) + lost).abs() < 5 * weights.std(0) / math.sqrt(k)).all()


def test_diagonal_gaussians_are_those_of_torch():
    q, z = DiagonalNormal(torch.randn(7, 4), torch.randn(7, 4)), torch.randn(5, 7, 4)
    standard = Independent(Normal(torch.zeros(4), torch.ones(4)), 1)
    torch.testing.assert_close(q.log_prob(z), normal(q).log_prob(z))
    torch.testing.assert_close(standard_normal_log_prob(z), standard.log_prob(z))
    torch.testing.assert_close(q.log_ratio(z), normal(q).log_prob(z) - standard.log_prob(z))
    torch.testing.assert_close(q.kl(), kl_divergence(normal(q), standard))
    torch.testing.assert_close(q.rsample(z), q.mean + normal(q).stddev * z)


def test_observations_are_those_of_torch():
    logits, spread = torch.randn(2, 5, 1, 8, 8), torch.randn(2, 5, 1, 8, 8)
    binary = 2.0 * torch.randint(0, 2, (5, 1, 8, 8)) - 1
    expected = torch.distributions.Bernoulli(logits=logits).log_prob((binary + 1) / 2).flatten(2).sum(2)
    torch.testing.assert_close(Bernoulli(logits).log_prob(binary), expected)
    torch.testing.assert_close(Bernoulli(logits).mean, 2 * torch.sigmoid(logits) - 1)
    grey = torch.rand(5, 1, 8, 8) * 2 - 1
    expected = Normal(logits, (spread / 2).exp()).log_prob(grey).flatten(2).sum(2)
    torch.testing.assert_close(Gaussian(logits, spread).log_prob(grey), expected)


def test_of_grey_intensities_bernoulli_gives_the_cross_entropy():
    logits, grey = torch.randn(5, 3, 8, 8), torch.rand(5, 3, 8, 8) * 2 - 1
    expected = -F.binary_cross_entropy_with_logits(logits, (grey + 1) / 2, reduction="none").flatten(1).sum(1)
    torch.testing.assert_close(Bernoulli(logits).log_prob(grey), expected)


GREYS = to_float(torch.arange(256, dtype=torch.uint8)).view(1, 1, 16, 16)


def test_binarised_images_have_the_grey_image_as_their_mean():
    """To 5 standard errors of a share, in each of the 256 greys; black and white stay as they are."""
    u = torch.rand(4000, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    seen = made().binarize_or_dequantize(GREYS.expand_as(u), u)
    p = (GREYS[0] + 1) / 2
    assert set(seen.unique().tolist()) == {-1.0, 1.0}
    assert (((seen.mean(0) - GREYS[0]) / 2).abs() <= 5 * (p * (1 - p) / 4000).sqrt()).all()


def test_dequantised_images_fill_their_bins():
    model = made("gaussian")
    low, high = (
        model.binarize_or_dequantize(GREYS, torch.zeros_like(GREYS)),
        model.binarize_or_dequantize(GREYS, torch.ones_like(GREYS)),
    )
    torch.testing.assert_close(low.flatten(), torch.arange(256) / 128 - 1)
    torch.testing.assert_close(high.flatten()[:-1], low.flatten()[1:])
    assert high.max().item() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["gray_bce", "discretized_logistic"])
def test_levels_are_seen_as_they_are(kind):
    assert torch.equal(made(kind).binarize_or_dequantize(GREYS, torch.rand_like(GREYS)), GREYS)


def test_a_density_of_intensities_integrates_to_one():
    """exp(-(nll + nll_offset)) over [0, 1]^1 by the trapezium rule, for one pixel; probabilities have no offset."""
    x = torch.linspace(-1, 1, 4001).view(-1, 1, 1, 1)
    observation = Gaussian(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), -4.0))
    model = LatentVariableModel((1, 1, 1), 2, "gaussian")
    density = (observation.log_prob(x) - model.nll_offset).exp()
    assert torch.trapezoid(density, (x.flatten() + 1) / 2).item() == pytest.approx(1.0, abs=1e-3)
    assert made("gaussian").nll_offset == pytest.approx(-256 * math.log(2))
    assert made("binarized").nll_offset == 0


@pytest.mark.parametrize("variance", ["pixel", "shared"])
def test_the_variance_of_a_pixel_stays_between_a_grey_level_and_one(variance):
    model = made("gaussian", variance)
    observation = model.decode(1000 * torch.randn(6, 3))
    low, high = LOG_VARIANCE_RANGE
    assert observation.log_variance.shape == observation.mean.shape == (6, 1, 16, 16)
    assert low <= observation.log_variance.min() <= observation.log_variance.max() <= high
    assert observation.mean.abs().max() <= 1
    assert len(observation.log_variance.unique()) > 1 or variance == "shared"
    ends = squash_into(LOG_VARIANCE_RANGE, torch.tensor([-100.0, 0.0, 100.0])).tolist()
    assert ends == pytest.approx([low, (low + high) / 2, high])
    assert math.exp(low / 2) == pytest.approx(2 / 255)


@pytest.mark.parametrize("name", FAMILY)
def test_each_draw_has_the_weight_it_has_alone(name):
    """k draws at once, with the images encoded once, equal k calls with one draw and one image each."""
    model, x, y = FAMILY[name](), batch_of(4).x, batch_of(4).y
    draws = torch.randn(3, 4, model.noise_dim)
    with torch.no_grad():
        together = model.log_weights(x, draws, y)
        for k in range(3):
            for i in range(4):
                alone = model.log_weights(x[i : i + 1], draws[k : k + 1, i : i + 1], y[i : i + 1])
                torch.testing.assert_close(together[k, i], alone[0, 0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("build", "option", "value"),
    [
        (vae.Build, "pixel_likelihood", "poisson"),
        (vae.Build, "variance", "full"),
        (vae.Build, "output", "sigmoid"),
        (vae.Build, "max_channel_mult", 0),
        (cvae.Build, "embedding", 0),
        (cvae.Build, "latent", 0),
        (iwae.Build, "layers", 3),
    ],
)
def test_an_option_out_of_range_is_named_with_what_was_found(build, option, value):
    with pytest.raises(ValueError, match=f"^{option}: got {value}, expected "):
        build((1, 16, 16), 10, **{option: value})
