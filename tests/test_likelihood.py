"""Models with a likelihood against closed forms: a linear Gaussian one, whose evidence and posterior are known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from scipy.stats import multivariate_normal
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn import functional as F

from genlib.data.batches import batches
from genlib.data.images import Images, to_float
from genlib.models import cvae, vae
from genlib.models import iwae as burda
from genlib.models.layers.latent_variable import (
    LOG_VARIANCE_RANGE,
    Bernoulli,
    DiagonalNormal,
    Gaussian,
    LatentVariableModel,
    bound_log_variance,
    standard_normal_log_prob,
)
from genlib.objectives import elbo
from genlib.objectives import iwae as importance

SHAPE = (1, 2, 3)
SIGMA = 0.5
N = 8


class Linear(LatentVariableModel):
    """z ~ N(0, 1), x ~ N(W z + b, SIGMA^2), W with orthogonal columns, so that the posterior is diagonal.

    q(z|x) = N(A (x - b) + a, e^v); `exact` makes it the posterior.
    """

    def __init__(self, *, exact=True):
        super().__init__(SHAPE, 2, "gray_bce")
        generator = torch.Generator().manual_seed(3)
        w = torch.linalg.qr(torch.randn(6, 2, generator=generator, dtype=torch.float64))[0] * torch.tensor([1.5, 0.7])
        variance = 1 / (1 + w.square().sum(0) / SIGMA**2)
        off = 0.0 if exact else 1.0
        self.w = nn.Parameter(w)
        self.b = nn.Parameter(torch.randn(6, generator=generator, dtype=torch.float64))
        self.a_matrix = nn.Parameter(variance[:, None] * w.T / SIGMA**2)
        self.a = nn.Parameter(off * 0.3 * torch.ones(2, dtype=torch.float64))
        self.v = nn.Parameter(variance.log() + off * 0.5)

    def encode(self, x, y=None):
        mean = (x.flatten(1) - self.b) @ self.a_matrix.T + self.a
        return DiagonalNormal(mean, self.v.expand_as(mean))

    def decode(self, z, y=None):
        mean = (z @ self.w.T + self.b).view(-1, *SHAPE)
        return Gaussian(mean, torch.full_like(mean, 2 * math.log(SIGMA)))


def evidence(model, x):
    w, b = model.w.detach(), model.b.detach()
    covariance = w @ w.T + SIGMA**2 * torch.eye(6, dtype=torch.float64)
    found = multivariate_normal(b.numpy(), covariance.numpy()).logpdf(x.flatten(1).numpy())
    return torch.as_tensor(found).view(len(x))


def points(n=N, seed=0):
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Points:
    """What an objective sees of a batch, in float64."""

    step, global_size, y = 0, N, None

    def __init__(self, x, seed=1):
        self.x, self.seed = x, seed

    def randn(self, name, *shape):
        return noise(len(self.x), *shape, seed=self.seed)


def terms(objective, model, batch):
    (turn,) = objective.phases(model)
    return turn.step_losses(batch)


@pytest.mark.parametrize("k", [1, 3, 50])
def test_with_the_exact_posterior_every_weight_is_the_evidence(k):
    model, x = Linear(), points()
    weights = model.log_weights(x, noise(k, N, 2))
    torch.testing.assert_close(weights, evidence(model, x).expand(k, N))
    for dreg in (False, True):
        found = terms(importance.Build(k=k, dreg=dreg), model, Points(x))
        torch.testing.assert_close(-found.loss, evidence(model, x))
        torch.testing.assert_close(found.logged["bound"], evidence(model, x))
        torch.testing.assert_close(found.logged["effective_samples"], torch.full((N,), float(k), dtype=torch.float64))


def test_a_wrong_posterior_loses_its_divergence_from_the_right_one():
    """E log w = log p(x) - KL(q || posterior), to 5 standard errors."""
    model, x, k = Linear(exact=False), points(), 20_000
    right, wrong = Linear().encode(x), model.encode(x)
    weights = model.log_weights(x, noise(k, N, 2)).detach()
    lost = kl_divergence(normal(wrong), normal(right)).detach()
    assert ((weights.mean(0) - evidence(model, x) + lost).abs() < 5 * weights.std(0) / math.sqrt(k)).all()


def test_the_elbo_is_the_evidence_less_the_divergence():
    model, x, k = Linear(exact=False), points(1).expand(20_000, *SHAPE), 20_000
    found = terms(elbo.Build(), model, Points(x))
    lost = kl_divergence(normal(model.encode(x[:1])), normal(Linear().encode(x[:1]))).item()
    bound = -found.loss.detach()
    assert abs(bound.mean() - evidence(model, x[:1]) + lost) < 5 * bound.std() / math.sqrt(k)
    torch.testing.assert_close(found.logged["kl"], model.encode(x).kl().detach())
    torch.testing.assert_close(found.loss, found.logged["reconstruction"] + found.logged["kl"])


def test_the_importance_weighted_bound_rises_with_k_to_the_evidence():
    """By 4 standard errors from each k to the next, and at the last to within 0.01 nats."""
    model, x, means, errors = Linear(exact=False), points(1), [], []
    for k, draws in ((1, 4000), (2, 4000), (5, 4000), (25, 4000), (1000, 400)):
        rows = x.expand(draws, *SHAPE)
        bound = terms(importance.Build(k=k), model, Points(rows, seed=k)).logged["bound"]
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

    terms(importance.Build(k=k, dreg=dreg), Offset(exact=False), Points(x)).loss.sum().backward()
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
    terms(importance.Build(k=5, dreg=True), model, Points(points())).loss.sum().backward()
    for parameter in (model.a, model.v, model.a_matrix):
        torch.testing.assert_close(parameter.grad, torch.zeros_like(parameter), rtol=0, atol=1e-9)


def normal(q):
    return Independent(Normal(q.mean, (q.log_variance / 2).exp()), 1)


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
KINDS = ["binarized", "gray_bce", "gaussian"]


def made(pixel_likelihood="binarized", variance="pixel", shape=(1, 16, 16)):
    torch.manual_seed(0)
    return vae.Build(shape, 10, latent=3, width=4, pixel_likelihood=pixel_likelihood, variance=variance)


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


def test_intensities_are_seen_as_they_are():
    assert torch.equal(made("gray_bce").binarize_or_dequantize(GREYS, torch.rand_like(GREYS)), GREYS)


def test_a_density_of_intensities_integrates_to_one():
    """exp(-(nll + nll_offset)) over [0, 1]^1 by the trapezium rule, for one pixel; probabilities have no offset."""
    x = torch.linspace(-1, 1, 4001).view(-1, 1, 1, 1)
    observation = Gaussian(torch.zeros(1, 1, 1, 1), torch.full((1, 1, 1, 1), -4.0))
    model = LatentVariableModel((1, 1, 1), 2, "gaussian")
    density = (observation.log_prob(x) - model.nll_offset).exp()
    assert torch.trapezoid(density, (x.flatten() + 1) / 2).item() == pytest.approx(1.0, abs=1e-3)
    assert made("gaussian").nll_offset == pytest.approx(-256 * math.log(2))
    assert made("binarized").nll_offset == 0


def images(shape=(1, 16, 16), n=24):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.randint(0, 10, (n,), generator=generator))


def batch_of(size=12, step=0, rank=0, world=1, shape=(1, 16, 16)):
    return next(batches(images(shape), size, seed=3, step=step, rank=rank, world=world))


@pytest.mark.parametrize("variance", ["pixel", "shared"])
def test_the_variance_of_a_pixel_stays_between_a_grey_level_and_one(variance):
    model = made("gaussian", variance)
    observation = model.decode(1000 * torch.randn(6, 3))
    low, high = LOG_VARIANCE_RANGE
    assert observation.log_variance.shape == observation.mean.shape == (6, 1, 16, 16)
    assert low <= observation.log_variance.min() <= observation.log_variance.max() <= high
    assert observation.mean.abs().max() <= 1
    assert len(observation.log_variance.unique()) > 1 or variance == "shared"
    assert bound_log_variance(torch.tensor([-100.0, 0.0, 100.0])).tolist() == pytest.approx(
        [low, (low + high) / 2, high]
    )
    assert math.exp(low / 2) == pytest.approx(2 / 255)


FAMILY = {
    **{f"vae, {kind}": (lambda kind=kind: made(kind)) for kind in KINDS},
    "vae, shared variance": lambda: made("gaussian", "shared"),
    "cvae": lambda: cvae.Build((1, 16, 16), 10, latent=3, width=4, pixel_likelihood="binarized"),
    "iwae": lambda: burda.Build((1, 16, 16), 10),
    "burda, two layers": lambda: burda.Build((1, 16, 16), 10, layers=2),
}
OBJECTIVES = {
    "elbo": lambda: elbo.Build(),
    "importance": lambda: importance.Build(k=3),
    "dreg": lambda: importance.Build(k=3, dreg=True),
}
PAIRS = [(m, o) for m in FAMILY for o in OBJECTIVES if (m, o) != ("burda, two layers", "dreg")]
EVERY_PAIR = pytest.mark.parametrize(("name", "objective"), PAIRS)


def gradients_of(model, objective, batch):
    model.zero_grad()
    found = terms(OBJECTIVES[objective](), model, batch)
    (found.loss.sum() / batch.global_size).backward()
    assert found.loss.shape == (len(batch.x),)
    assert all(values.shape == found.loss.shape and not values.requires_grad for values in found.logged.values())
    return {key: parameter.grad.clone() for key, parameter in model.named_parameters()}


@EVERY_PAIR
def test_gradients_reach_every_parameter(name, objective):
    torch.manual_seed(0)
    for key, gradient in gradients_of(FAMILY[name](), objective, batch_of()).items():
        assert gradient.isfinite().all(), key
        assert gradient.count_nonzero() > 0, key


@EVERY_PAIR
def test_two_ranks_equal_one(name, objective):
    torch.manual_seed(0)
    model = FAMILY[name]()
    whole = gradients_of(model, objective, batch_of(13, 2))
    parts = [gradients_of(model, objective, batch_of(13, 2, rank, 2)) for rank in range(2)]
    scale = max(gradient.abs().max().item() for gradient in whole.values())
    for key, gradient in whole.items():
        torch.testing.assert_close(parts[0][key] + parts[1][key], gradient, rtol=1e-3, atol=1e-5 * scale)


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


def test_the_elbo_weighs_its_parts_and_warms_up():
    model = made()
    for step, weight in [(0, 0.0), (1, 1.5), (2, 3.0), (5, 3.0)]:
        found = terms(elbo.Build(beta=3.0, warm_up=24), model, batch_of(step=step))
        torch.testing.assert_close(found.loss, found.logged["reconstruction"] + weight * found.logged["kl"])


def test_images_are_binarised_anew_at_every_step_and_alike_in_the_same():
    model, data = made(), images(n=12)
    first, again, later = (
        terms(elbo.Build(), model, next(batches(data, 12, seed=0, step=step))).logged["reconstruction"].sort().values
        for step in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, later)


def factor(block, v):
    h = block.hidden(v)
    return Independent(Normal(block.mean(h), block.log_deviation(h).exp()), 1)


def test_the_two_layers_agree_with_their_factors():
    """log p(x|h) + log p(h|z) + log p(z) - log q(h|x) - log q(z|h) by torch's own distributions."""
    torch.manual_seed(0)
    model, x, draws = FAMILY["burda, two layers"](), batch_of(4).x.sign(), torch.randn(2, 4, 150)
    q_h = factor(model.up[0], (x.flatten(1) + 1) / 2)
    h = q_h.mean + q_h.stddev * draws[..., 50:]
    q_z = factor(model.up[1], h)
    z = q_z.mean + q_z.stddev * draws[..., :50]
    p_x = torch.distributions.Bernoulli(logits=model.pixels(h))
    prior = Independent(Normal(torch.zeros(50), torch.ones(50)), 1)
    joint = p_x.log_prob((x.flatten(1) + 1) / 2).sum(-1) + factor(model.down[0], z).log_prob(h) + prior.log_prob(z)
    torch.testing.assert_close(model.log_weights(x, draws), joint - q_h.log_prob(h) - q_z.log_prob(z))


def test_doubly_reparameterised_gradients_need_one_stochastic_layer():
    with pytest.raises(ValueError, match="dreg must be false"):
        importance.Build(dreg=True).phases(FAMILY["burda, two layers"]())


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_model_without_a_likelihood_is_refused(objective):
    with pytest.raises(ValueError, match="got Linear, expected a model with log_weights"):
        OBJECTIVES[objective]().phases(nn.Linear(2, 2))


def affine(*sizes):
    return sum((a + 1) * b for a, b in pairwise(sizes))


def test_burda_has_the_parameters_of_the_paper():
    """784-200-200-(50, 50), 50-200-200-784; 784-200-200-(100, 100), 100-100-100-(50, 50), 50-100-100-(100, 100), ..."""
    count = {k: sum(p.numel() for p in burda.Build((1, 28, 28), 0, layers=k).parameters()) for k in (1, 2)}
    assert count[1] == affine(784, 200, 200, 100) + affine(50, 200, 200, 784)
    wide = affine(784, 200, 200, 200) + affine(100, 200, 200, 784)
    assert count[2] == wide + affine(100, 100, 100, 100) + affine(50, 100, 100, 200)


def test_burda_begins_at_glorots_range_and_at_the_mean_image():
    torch.manual_seed(0)
    model = burda.Build((1, 28, 28), 0)
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


def test_labels_reach_encoder_decoder_and_samples():
    torch.manual_seed(0)
    model, x = FAMILY["cvae"](), batch_of(4).x
    ones, twos = torch.ones(4, dtype=torch.long), torch.full((4,), 2)
    assert not torch.allclose(model.encode_mean(x, ones), model.encode_mean(x, twos))
    z = torch.randn(4, 3)
    assert not torch.allclose(model.decode_image(z, ones), model.decode_image(z, twos))
    assert not torch.allclose(model.sample(4, y=ones), model.sample(4, y=twos))
    torch.testing.assert_close(model.sample(4, y=ones)[:2], model.sample(2, y=ones[:2]))
    batch = batch_of()
    loss = terms(elbo.Build(), model, batch).loss
    swapped = type(batch)(
        batch.pixels, (batch.labels + 1) % 10, batch.global_size, batch.rank_rows, batch.seed, batch.step
    )
    assert not torch.allclose(loss, terms(elbo.Build(), model, swapped).loss)


def test_a_conditional_model_without_labels_is_refused():
    with pytest.raises(ValueError, match=r"^needs labels, and the data have none$"):
        cvae.Build((1, 16, 16), 0)


@pytest.mark.parametrize(
    ("build", "option", "value"),
    [
        (vae.Build, "pixel_likelihood", "poisson"),
        (vae.Build, "variance", "full"),
        (cvae.Build, "embedding", 0),
        (cvae.Build, "latent", 0),
        (burda.Build, "layers", 3),
    ],
)
def test_an_option_out_of_range_is_named_with_what_was_found(build, option, value):
    with pytest.raises(ValueError, match=f"^{option} must .* found {value}$"):
        build((1, 16, 16), 10, **{option: value})


@pytest.mark.parametrize(
    ("build", "option", "value"),
    [(importance.Build, "k", 0), (elbo.Build, "beta", -0.5), (elbo.Build, "warm_up", -1)],
)
def test_an_objective_refuses_what_is_out_of_range(build, option, value):
    with pytest.raises(ValueError, match=f"^{option} must .* found {value}$"):
        build(**{option: value})
