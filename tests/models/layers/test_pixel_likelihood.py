"""Pixel likelihoods of 256 levels: masses sum to one, bits per dimension, draws, extremes."""

from __future__ import annotations

import math

import pytest
import torch
from likelihood_models import FAMILY, batch_of, made
from torch.distributions import AffineTransform, Normal, SigmoidTransform, TransformedDistribution, Uniform

from genlib.data.images import to_float, to_pixels
from genlib.models.layers.pixel_likelihood import (
    BITS_OFFSET,
    HALF_BIN,
    LOG_SCALE_RANGE,
    LOG_VARIANCE_RANGE,
    DiscretizedLogistic,
    ObservationHead,
    bits_per_dim,
    resolve_pixel_likelihood,
    squash_into,
)
from genlib.models.vae import VAE

LEVELS = (torch.arange(256).double() * 2 / 255 - 1).view(256, 1, 1, 1)


def logistic(mean, log_scale, n=256):
    shape = (n, 1, 1, 1)
    return DiscretizedLogistic(torch.full(shape, mean).double(), torch.full(shape, log_scale).double())


@pytest.mark.parametrize("mean", [-1.0, -0.3, 0.0, 0.99, 1.0])
@pytest.mark.parametrize("log_scale", [-7.0, -4.0, -2.0, 0.0])
def test_the_masses_of_all_levels_sum_to_one(mean, log_scale):
    assert logistic(mean, log_scale).log_prob(LEVELS).exp().sum().item() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("log_scale", [-3.0, -1.0])
def test_a_mass_is_that_of_the_bin_under_torchs_logistic(log_scale):
    scale = math.exp(log_scale)

    uniform = Uniform(torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))
    law = TransformedDistribution(uniform, [SigmoidTransform().inv, AffineTransform(0.2, scale)])
    x = LEVELS.flatten()
    upper, lower = law.cdf(x + HALF_BIN), law.cdf(x - HALF_BIN)
    upper[-1], lower[0] = 1.0, 0.0
    torch.testing.assert_close(logistic(0.2, log_scale).log_prob(LEVELS).exp(), upper - lower, rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("kind", ["gaussian", "discretized_logistic"])
@pytest.mark.parametrize("output", ["tanh", "linear"])
@pytest.mark.parametrize("size", [0.0, 1.0, 1e3])
def test_values_and_gradients_stay_finite_at_the_extremes(kind, output, size):
    """A decoder that says black or white of all levels, with the smallest and the largest spread."""
    for end in (-100.0, 0.0, 100.0):
        head = ObservationHead((1, 16, 16), kind, "shared", output)
        with torch.no_grad():
            head.shared_spread.fill_(end)
        raw = (size * torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)).expand(2, 1, 16, 16).clone().requires_grad_()
        found = head.distribution(raw).log_prob(LEVELS.float().view(1, 1, 16, 16))
        found.sum().backward()
        assert found.isfinite().all()
        assert raw.grad.isfinite().all() and head.shared_spread.grad.isfinite().all()


def test_draws_have_the_masses_of_the_levels():
    """100,000 draws: each level's share within 5 standard errors of its mass."""
    n = 100_000
    law = logistic(0.9, -2.5)
    drawn = logistic(0.9, -2.5, n).sample_from_noise(
        torch.randn(n, 1, 1, 1, generator=torch.Generator().manual_seed(0)).double()
    )
    levels = ((drawn + 1) * 127.5).round().long().flatten()
    torch.testing.assert_close(drawn.flatten(), to_float(levels.to(torch.uint8)))
    mass = law.log_prob(LEVELS).exp()
    share = levels.bincount(minlength=256) / n
    assert ((share - mass).abs() <= 5 * (mass * (1 - mass) / n).sqrt() + 1 / n).all()


def test_extreme_noise_draws_black_and_white():
    noise = torch.tensor([-40.0, 40.0]).view(2, 1, 1, 1)
    assert DiscretizedLogistic(torch.zeros(2, 1, 1, 1), torch.zeros(2, 1, 1, 1)).sample_from_noise(
        noise
    ).flatten().tolist() == [-1, 1]


def test_bits_of_a_gaussian_are_those_of_a_direct_computation():
    """-log2 of the density, over the 256 levels, of p + u for levels p and u uniform in [0, 1)."""
    model, x = made("gaussian", "shared", (3, 8, 8)), torch.rand(5, 3, 8, 8)
    x = to_float((x * 255).to(torch.uint8))
    u = torch.rand(x.shape)
    p = model.decode(torch.randn(5, 3))
    nats = -p.log_prob(model.binarize_or_dequantize(x, u))
    found = bits_per_dim("gaussian", nats + model.nll_offset, 192)
    level = (x + 1) * 127.5 + u  # in [0, 256)
    law = Normal(128 * (p.mean + 1), 128 * (p.log_variance / 2).exp())
    expected = -law.log_prob(level).flatten(1).sum(1) / (192 * math.log(2))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_uniform_levels_cost_8_bits():
    """By the widest logistic from afar no level is likelier by much; a flat density over [0, 1] has 0 nats."""
    assert bits_per_dim("gaussian", torch.tensor(0.0), 100) == 8
    assert bits_per_dim("discretized_logistic", torch.tensor(100 * math.log(256)), 100).item() == pytest.approx(8)


@pytest.mark.parametrize("kind", ["binarized", "gray_bce"])
def test_black_and_white_has_no_bits_of_8_bit_pixels(kind):
    assert kind not in BITS_OFFSET
    with pytest.raises(KeyError):
        bits_per_dim(kind, torch.tensor(1.0), 3)


def test_auto_is_by_the_images():
    assert resolve_pixel_likelihood("auto", True) == "binarized"
    assert resolve_pixel_likelihood("auto", False) in BITS_OFFSET
    assert resolve_pixel_likelihood("gray_bce", True) == "gray_bce"
    assert VAE((1, 8, 8), 0).pixel_likelihood == resolve_pixel_likelihood("auto", False)


def test_each_channel_of_a_logistic_has_a_scale():
    head = ObservationHead((3, 4, 4), "discretized_logistic", "shared", "tanh")
    with torch.no_grad():
        head.shared_spread.copy_(torch.tensor([-0.5, 0.0, 0.5]).view(3, 1, 1))
    scales = head.distribution(torch.zeros(2, 3, 4, 4)).log_scale
    low, high = LOG_SCALE_RANGE
    assert scales.shape == (2, 3, 4, 4) and (scales.diff(dim=1) > 0).all() and low < scales.min() < scales.max() < high


@pytest.mark.parametrize("name", [name for name in FAMILY if name.startswith("iwae")])
def test_a_bias_at_the_start_gives_the_mean_image(name):
    """Where all images are one grey, the first mean image is that grey before the weights say more."""
    from genlib.data.images import Images

    model = FAMILY[name]()
    pixels = torch.full((6, 1, 16, 16), 180, dtype=torch.uint8)
    with torch.no_grad():
        model.on_fit_start(Images(pixels), Images(pixels))
        raw = model.pixels[-1].bias.view(1, *model.emission.params_shape((1, 16, 16)))
    torch.testing.assert_close(model.emission.distribution(raw).mean, to_float(pixels[:1]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", FAMILY)
def test_pictures_and_draws_are_in_the_range_of_images(name):
    model = FAMILY[name]().eval()
    x = model.sample(5)
    noise = torch.randn(4, model.noise_dim)
    drawn = model.sample_pixels(noise, torch.randn(4, 1, 16, 16), batch_of(4).y)
    assert x.min() >= -1 and x.max() <= 1
    assert drawn.shape == (4, 1, 16, 16) and drawn.isfinite().all()


@pytest.mark.parametrize(("kind", "deviation"), [("gaussian", 1.0), ("discretized_logistic", math.pi / math.sqrt(3))])
@pytest.mark.parametrize("sigma", [0.05, 0.3])
def test_a_shared_spread_is_learnt_in_a_hundred_steps(kind, deviation, sigma):
    """Of levels about a mean that the decoder knows, from the start by Adam at a usual rate; to a tenth."""
    head = ObservationHead((1, 32, 32), kind, "shared", "linear")
    assert spread_of(head) == pytest.approx(0.5, rel=1e-5)
    optimizer = torch.optim.Adam(head.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        x = (sigma * torch.randn(8, 1, 32, 32, generator=generator)).clamp(-1, 1)
        optimizer.zero_grad()
        (-head.distribution(torch.zeros_like(x)).log_prob(to_float(to_pixels(x))).mean()).backward()
        optimizer.step()
    assert spread_of(head) * deviation == pytest.approx(sigma, rel=0.12)


def spread_of(head):
    law = head.distribution(torch.zeros(1, 1, 32, 32))
    log_spread = law.log_scale if isinstance(law, DiscretizedLogistic) else law.log_variance / 2
    return log_spread.exp().mean().item()


def test_a_former_folder_keeps_its_shared_variance():
    head = ObservationHead((1, 4, 4), "gaussian", "shared", "tanh")
    head.load_state_dict({"spread": torch.tensor([0.7])})
    found = head.distribution(torch.zeros(1, 1, 4, 4)).log_variance
    torch.testing.assert_close(found, squash_into(LOG_VARIANCE_RANGE, torch.tensor([0.7])).expand_as(found))
