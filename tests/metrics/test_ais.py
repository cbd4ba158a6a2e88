"""Annealed importance sampling against closed forms, quadrature and importance sampling."""

import importlib
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from genlib.data.images import Images, to_float
from genlib.metrics.ais import SphericalDecoder
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import get_metric
from genlib.metrics.stats.annealing import (
    ChainState,
    annealed_log_likelihood,
    hmc_step,
    normal_per_image,
    sigmoid_schedule,
)
from genlib.metrics.stats.bayes import importance_log_likelihood
from genlib.models.layers.pixel_likelihood import Bernoulli, Gaussian
from genlib.registry import build

PIXELS, CLASSES = 6, 3


class Linear:
    """z ~ N(0, 1), x ~ N(W z + b_y, s^2): log p(x) = log N(b_y, W W^T + s^2)."""

    noise_dim, s = 2, 0.4

    def __init__(self):
        g = torch.Generator().manual_seed(0)
        self.w = torch.randn(PIXELS, 2, generator=g, dtype=torch.float64)
        self.b = torch.randn(2, PIXELS, generator=g, dtype=torch.float64)

    def mean(self, z, y):
        return z @ self.w.T + (self.b[0] if y is None else self.b[y])

    def log_likelihood(self, x, z, y=None):
        scaled = (x - self.mean(z, y)) / self.s
        return -(0.5 * scaled.square() + math.log(self.s) + 0.5 * math.log(2 * math.pi)).sum(-1)

    def exact(self, x, y=None):
        covariance = self.w @ self.w.T + self.s**2 * torch.eye(PIXELS).double()
        return torch.distributions.MultivariateNormal(self.mean(torch.zeros(2).double(), y), covariance).log_prob(x)

    def drawn(self, n, y=None):
        g = torch.Generator().manual_seed(1)
        z = torch.randn(n, 2, generator=g, dtype=torch.float64)
        return z, self.mean(z, y) + self.s * torch.randn(n, PIXELS, generator=g, dtype=torch.float64)


class Coins:
    """z ~ N(0, 1) in one dimension, x of black and white pixels with the logits 3 sin(2 z + phase)."""

    noise_dim = 1

    def log_likelihood(self, x, z, y=None):
        return Bernoulli(3 * torch.sin(2 * z + torch.arange(PIXELS).double()).view(*z.shape[:-1], 1, 1, -1)).log_prob(x)

    def exact(self, x):
        grid = torch.linspace(-9, 9, 4001, dtype=torch.float64)
        prior = torch.distributions.Normal(0.0, 1.0).log_prob(grid)
        joint = prior[:, None] + self.log_likelihood(x, grid[:, None, None].expand(-1, len(x), 1))
        return joint.logsumexp(0) + math.log(18 / 4000)


# --- the algorithm


def test_both_bounds_close_upon_the_closed_form():
    model = Linear()
    z, x = model.drawn(60)
    exact, gaps = model.exact(x), []
    for distributions in (4, 12, 36):
        low = annealed_log_likelihood(model, x, num_distributions=distributions, num_chains=4, seed=0)
        high = annealed_log_likelihood(
            model, x, posterior_draws=z, num_distributions=distributions, num_chains=4, seed=0
        )
        assert low.mean() < exact.mean() + 0.02 and high.mean() > exact.mean() - 0.02
        gaps.append(float((high - low).mean()))
    assert gaps[0] > 2 * gaps[1] > 3 * gaps[2] > 0
    assert gaps[2] < 2
    assert low.shape == (60,) and low.dtype == torch.float64 and not low.requires_grad


def test_the_weights_have_the_mean_p():
    model = Linear()
    _, x = model.drawn(500)
    low = annealed_log_likelihood(model, x, num_distributions=40, num_chains=4, seed=2, chunk_size=20_000)
    ratio = (low - model.exact(x)).exp()
    assert float(ratio.mean()) == pytest.approx(1, abs=0.2) and float(ratio.std()) > 0.1


def test_labels_reach_the_decoder():
    model, y = Linear(), torch.arange(40) % 2
    _, x = model.drawn(40, y)
    found = annealed_log_likelihood(model, x, num_distributions=40, num_chains=5, seed=0, y=y, chunk_size=35)
    assert (found - model.exact(x, y)).mean().abs() < 1
    assert (found - model.exact(x, 1 - y)).mean().abs() > 5


def test_a_latent_of_several_modes_agrees_with_quadrature():
    model = Coins()
    g = torch.Generator().manual_seed(0)
    x = 2.0 * torch.randint(2, (60, 1, 1, PIXELS), generator=g).double() - 1
    found = annealed_log_likelihood(model, x, num_distributions=50, num_chains=10, seed=0)
    torch.testing.assert_close(found, model.exact(x), rtol=0, atol=0.8)
    assert (found - model.exact(x)).mean().abs() < 0.03


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_a_move_leaves_its_target_as_it_is(beta):
    """The posterior of a linear model, sharpened, at steps long enough that a good part is refused."""
    model = Linear()
    precision = torch.eye(2).double() + beta * model.w.T @ model.w / model.s**2
    centre = torch.linalg.solve(precision, beta * model.w.T.sum(1) / model.s**2)
    x = (model.b[0] + 1).expand(1, PIXELS)
    law = torch.distributions.MultivariateNormal(centre, precision_matrix=precision)
    torch.manual_seed(0)
    start = law.sample((20_000, 1))
    likelihood = lambda z: model.log_likelihood(x, z)  # noqa: E731
    point, normal = ChainState.evaluate_at(start, likelihood), normal_per_image(x, 20_000, 0)
    shares = []
    for _ in range(4):
        length = torch.full((1,), 0.9 * 2 / float(torch.linalg.eigvalsh(precision).max()) ** 0.5).double()
        point, acceptance = hmc_step(likelihood, point, beta, length, normal(3))
        shares.append(float(acceptance.mean()))
    assert 0.2 < min(shares) < 0.95
    assert (point.z != start).any(-1).double().mean() > 0.5
    found = (point.z[:, 0] - centre) @ torch.linalg.cholesky(precision)
    torch.testing.assert_close(found.mean(0), torch.zeros(2).double(), rtol=0, atol=0.03)
    torch.testing.assert_close(found.T.cov(), torch.eye(2).double(), rtol=0, atol=0.04)
    torch.testing.assert_close(point.log_likelihood, likelihood(point.z))


def test_the_schedule_rises_from_prior_to_posterior():
    schedule = sigmoid_schedule(40)
    assert len(schedule) == 41 and schedule[0] == 0 and schedule[-1] == 1
    steps = schedule.diff()
    assert (steps > 0).all() and steps[0] < steps[20] / 4 and steps[-1] < steps[20] / 4


def test_neither_chunks_nor_company_change_an_image():
    model = Linear()
    z, x = model.drawn(9)
    options = {"num_distributions": 15, "num_chains": 4, "seed": 0}
    whole, back = (
        annealed_log_likelihood(model, x, **options),
        annealed_log_likelihood(model, x, posterior_draws=z, **options),
    )
    for chunk in (1, 8, 12):
        torch.testing.assert_close(
            annealed_log_likelihood(model, x, chunk_size=chunk, **options), whole, rtol=0, atol=1e-6
        )
        found = annealed_log_likelihood(model, x, posterior_draws=z, chunk_size=chunk, **options)
        torch.testing.assert_close(found, back, rtol=0, atol=1e-6)
    torch.testing.assert_close(annealed_log_likelihood(model, x[:3], **options), whole[:3], rtol=0, atol=1e-6)
    assert torch.equal(annealed_log_likelihood(model, x, **options), whole)
    assert not torch.allclose(annealed_log_likelihood(model, x, **options | {"seed": 1}), whole)


# --- the project's decoders


def made(name, **options):
    torch.manual_seed(0)
    return build("models", {"name": name, **options}, (1, 8, 8), CLASSES, where="model")


def by_the_prior(model, x, y=None):
    """log p(x) by 20,000 draws of the prior."""
    noise = torch.randn(20_000, 1, model.noise_dim, generator=torch.Generator().manual_seed(1))
    given = [None] * len(x) if y is None else y[:, None]
    pairs = zip(x[:, None], given, strict=True)
    found = [model.log_likelihood(one, noise, label).double().logsumexp(0) for one, label in pairs]
    return torch.cat(found) - math.log(20_000)


@pytest.mark.parametrize("name", ["vae", "cvae", "iwae"])
def test_decoders_agree_with_independent_estimates(name):
    """Two stochastic layers are one of all their noise; the label reaches the decoder."""
    options = {"layers": 2} if name == "iwae" else {"width": 4, "latent": 2}
    model = made(name, pixel_likelihood="binarized", **options).eval().requires_grad_(False)
    x = 2.0 * torch.randint(2, (4, 1, 8, 8), generator=torch.Generator().manual_seed(0)) - 1
    y = torch.arange(4) % CLASSES if name == "cvae" else None
    found = annealed_log_likelihood(model, x, num_distributions=40, num_chains=8, seed=0, y=y)
    torch.testing.assert_close(found, by_the_prior(model, x, y), rtol=0, atol=2 if name == "iwae" else 0.3)
    if name != "iwae":
        exact = importance_log_likelihood(model, x, num_samples=5000, seed=0, y=y)
        torch.testing.assert_close(found, exact, rtol=0, atol=0.3)


def test_what_an_observation_draws_has_its_distribution():
    noise = torch.randn(200_000, 1, 1, 3, generator=torch.Generator().manual_seed(0))
    logits = torch.tensor([-2.0, 0.0, 1.0]).view(1, 1, 3)
    drawn = Bernoulli(logits).sample_from_noise(noise)
    assert set(drawn.unique().tolist()) == {-1, 1}
    torch.testing.assert_close(drawn.mean(0), Bernoulli(logits).mean, rtol=0, atol=0.01)
    drawn = Gaussian(logits, logits).sample_from_noise(noise)
    torch.testing.assert_close(drawn.mean(0), logits, rtol=0, atol=0.02)
    torch.testing.assert_close(drawn.var(0), logits.exp(), rtol=0.02, atol=0)


def test_a_generator_is_seen_through_noise_of_one_deviation():
    decoder = SphericalDecoder(lambda z: z.view(-1, 1, 1, 2), 2, -2 * math.log(2))
    g = torch.Generator().manual_seed(0)
    z, x = torch.randn(3, 4, 2, generator=g), torch.randn(4, 1, 1, 2, generator=g)
    expected = torch.distributions.Normal(z, 0.2).log_prob(x.view(4, 2)).sum(-1)
    torch.testing.assert_close(decoder.log_likelihood(x, z), expected)
    assert decoder.nll_offset == pytest.approx(-2 * math.log(2))
    law = torch.distributions.MultivariateNormal(torch.zeros(2), 1.04 * torch.eye(2))
    found = annealed_log_likelihood(decoder, x, num_distributions=100, num_chains=20, seed=0)
    torch.testing.assert_close(found.float(), law.log_prob(x.view(4, 2)), rtol=0, atol=0.8)


# --- the metric


def evidence(model, n=12, labelled=True):
    g = torch.Generator().manual_seed(0)
    images = Images(torch.randint(0, 256, (n, 1, 8, 8), generator=g).to(torch.uint8), torch.arange(n) % CLASSES)
    seen = FeatureSet(
        images.pixels, images.labels, to_float(images.pixels).flatten(1), torch.full((n, CLASSES), 1 / CLASSES)
    )
    seen = seen if labelled else replace(seen, labels=None)
    return MetricInputs(seen, seen, seen, None, 0, model)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(importlib.import_module("genlib.metrics.ais"), "NUM_DISTRIBUTIONS", 4)


@pytest.mark.parametrize(
    ("name", "options", "observation"),
    [
        ("vae", {"width": 4, "latent": 2, "pixel_likelihood": "binarized"}, "binarized"),
        ("vae", {"width": 4, "latent": 2, "pixel_likelihood": "gray_bce"}, "spherical"),
        ("cvae", {"width": 4, "latent": 2, "pixel_likelihood": "gaussian"}, "gaussian"),
        ("iwae", {"layers": 2, "pixel_likelihood": "binarized"}, "binarized"),
        ("iwae", {}, "discretized_logistic"),
        ("gan", {"width": 4, "width_d": 4, "latent": 2, "prior": "uniform"}, "spherical"),
        ("cgan", {"width": 4, "width_d": 4, "latent": 2}, "spherical"),
    ],
)
def test_every_decoder_is_measured(name, options, observation):
    model = made(name, **options)
    before = [parameter.requires_grad for parameter in model.parameters()]
    e = evidence(model)
    found = get_metric("ais")(e)
    assert found.low < found.value < found.high and found.n == 10 and found.null is None
    assert found.detail["observation"] == observation and found.detail["gap"]["n"] == 6
    assert found.detail["of"] == ("x given its label" if name in ("cvae", "cgan") else "x")
    assert found.detail["train"]["n"] == 10
    assert ("spherical" in found.detail) == (observation != "spherical")
    assert get_metric("ais")(e) == found and get_metric("ais")(replace(e, seed=1)).value != found.value
    assert model.training and before == [parameter.requires_grad for parameter in model.parameters()]
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_speaks_of_what_nll_speaks_of():
    """An untrained decoder hardly heeds its code, so that the two estimates of the same images agree."""
    e = evidence(made("vae", width=4, latent=2, pixel_likelihood="binarized"), 10)
    found, nll = get_metric("ais")(e), get_metric("nll")(e)
    assert found.value == pytest.approx(-nll.value, abs=0.5)
    assert abs(found.detail["above_importance"]["value"]) < 0.3


@pytest.mark.parametrize(
    ("model", "labelled", "n", "reason"),
    [
        (None, True, 12, "this model makes no images of codes of a normal prior"),
        (nn.Linear(1, 1), True, 12, "this model makes no images of codes of a normal prior"),
        (made("cgan", width=4, width_d=4, latent=2), False, 12, "the data have no labels"),
        (made("cvae", width=4, latent=2, pixel_likelihood="binarized"), False, 12, "the data have no labels"),
        (made("gan", width=4, width_d=4, latent=2), True, 1, "needs at least 2 test images, found 1"),
    ],
)
def test_what_is_missing_is_the_reason(model, labelled, n, reason):
    found = get_metric("ais")(evidence(model, n, labelled))
    assert found.value is None and found.detail["reason"] == reason
