"""Bayes' rule and the likelihood metrics against closed forms of linear-Gaussian models and independent code."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from genlib.data.images import Images, to_float
from genlib.evaluation.runner import compute_metrics
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.likelihood import samples_within_budget
from genlib.metrics.registry import get_metric
from genlib.metrics.stats.bayes import (
    class_log_likelihoods,
    estimate_elbo,
    importance_log_likelihood,
    importance_resample,
    kl_divergence,
    log_frequencies,
    normalize_posterior,
    sum_over_classes,
)
from genlib.metrics.stats.intervals import wilson
from genlib.metrics.stats.ranking import auroc

SHAPE, LATENT, CLASSES = (1, 2, 3), 2, 3
LIKELIHOODS = ("anomaly_auroc", "bayes_accuracy", "elbo", "nll")


class Linear(nn.Module):
    """x = W z + b + s e, with q(z|x) the exact posterior, `wider` times as wide: log p(x) = log N(b, W W^T + s^2)."""

    noise_dim, pixel_likelihood, nll_offset = LATENT, "gaussian", 0.0

    def __init__(self, wider=1.3):
        super().__init__()
        g = torch.Generator().manual_seed(0)
        d = math.prod(SHAPE)
        self.w, self.s = nn.Parameter(torch.randn(d, LATENT, generator=g)), 0.5
        self.b = 1.5 * torch.randn(CLASSES, d, generator=g)
        self.posterior = (torch.eye(LATENT) + self.w.detach().T @ self.w.detach() / self.s**2).inverse()
        self.root = wider * torch.linalg.cholesky(self.posterior)

    def binarize_or_dequantize(self, x, u):
        return x

    def centre(self, y):
        return self.b[0] if y is None else self.b[y]

    def log_weights(self, x, noise, y=None):
        x = x.flatten(1) - self.centre(y)
        standard = torch.distributions.Normal(0.0, 1.0)
        z = x @ self.w / self.s**2 @ self.posterior + noise @ self.root.T
        log_q = standard.log_prob(noise).sum(-1) - self.root.logdet()
        log_p = torch.distributions.Normal(z @ self.w.T, self.s).log_prob(x).sum(-1)
        return log_p + standard.log_prob(z).sum(-1) - log_q

    @torch.no_grad()
    def exact(self, x, y=None):
        covariance = (self.w @ self.w.T + self.s**2 * torch.eye(len(self.w))).double()
        law = torch.distributions.MultivariateNormal(self.centre(y).double(), covariance)
        return law.log_prob(x.flatten(1).double())


class Conditional(Linear):
    conditional = True


class Grey(Linear):
    pixel_likelihood = "gray_bce"


def drawn(model, n, seed=1):
    """n draws of a class-conditional model, as floats; labels of unequal frequency."""
    g = torch.Generator().manual_seed(seed)
    y = torch.multinomial(torch.tensor([0.6, 0.3, 0.1]), n, replacement=True, generator=g)
    with torch.no_grad():
        x = torch.randn(n, LATENT, generator=g) @ model.w.T + model.b[y]
    return (x + model.s * torch.randn(x.shape, generator=g)).view(-1, *SHAPE), y


def view(x, y, seed=0):
    """Images as floats, and a judge that is right in nine of ten of them."""
    g = torch.Generator().manual_seed(seed)
    guess = torch.randint(CLASSES, (len(x),), generator=g) if y is None else y
    told = torch.where(torch.rand(len(x), generator=g) < 0.9, guess, (guess + 1) % CLASSES)
    return FeatureSet(x, y, x.flatten(1), (8.0 * nn.functional.one_hot(told, CLASSES)).softmax(1))


def evidence(model, n=300, labelled=True):
    sets = [view(x, y if labelled else None) for x, y in (drawn(model, n, seed) for seed in (1, 2, 3))]
    return MetricInputs(*sets, samples=None, seed=0, model=model)


def share(right):
    return float(right.double().mean())


# --- log p(x)


def test_importance_sampling_approaches_the_closed_form_from_below():
    model = Linear(wider=1.6)
    x, _ = drawn(model, 400)
    exact = float(model.exact(x).mean())
    found = [importance_log_likelihood(model, x, num_samples=k, seed=0).mean() for k in (1, 5, 25, 2000)]
    assert found[0] < found[1] < found[2] < found[3]
    assert found[3] == pytest.approx(exact, abs=2e-3) and found[2] < exact + 2e-3
    torch.testing.assert_close(estimate_elbo(model, x, num_samples=1, seed=0).mean(), found[0])


def test_the_exact_posterior_needs_one_sample():
    model = Linear(wider=1.0)
    x, _ = drawn(model, 50)
    found = importance_log_likelihood(model, x, num_samples=1, seed=3)
    torch.testing.assert_close(found, model.exact(x), rtol=1e-4, atol=1e-4)
    assert found.dtype == torch.float64 and found.shape == (50,) and not found.requires_grad


def test_the_lower_bound_is_the_closed_form_less_the_divergence():
    model = Linear(wider=1.6)
    x, _ = drawn(model, 200)
    divergence = LATENT * (1.6**2 / 2 - 0.5 - math.log(1.6))  # KL(q || p(z|x)), the same for every x
    found = estimate_elbo(model, x, num_samples=2000, seed=0)
    assert found.mean() == pytest.approx(float(model.exact(x).mean()) - divergence, abs=0.01)


@pytest.mark.parametrize("chunk", [1, 7, 64, 10_000])
def test_chunks_leave_nothing_out(chunk):
    model = Linear(wider=1.0)
    x, y = drawn(model, 13)
    found = importance_log_likelihood(model, x, num_samples=11, seed=0, y=y, chunk_size=chunk)
    torch.testing.assert_close(found, model.exact(x, y), rtol=1e-4, atol=1e-4)
    again = importance_log_likelihood(model, x, num_samples=11, seed=0, y=y, chunk_size=chunk)
    assert torch.equal(found, again)


def test_no_call_holds_more_than_a_chunk(monkeypatch):
    model, seen = Linear(), []
    weights = model.log_weights
    monkeypatch.setattr(model, "log_weights", lambda x, e, *y: seen.append(e.shape[0] * e.shape[1]) or weights(x, e))
    importance_log_likelihood(model, drawn(model, 30)[0], num_samples=100, seed=0, chunk_size=64)
    importance_log_likelihood(model, drawn(model, 30)[0], num_samples=3, seed=0, chunk_size=64)
    assert max(seen) <= 64 and sum(seen) == 30 * 103


# --- p(y|x)


def test_the_posterior_is_that_of_the_closed_form():
    model = Conditional()
    x, _ = drawn(model, 300)
    prior = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64).log()
    exact = torch.stack([model.exact(x, torch.full((300,), c)) for c in range(CLASSES)], 1)
    by_hand = (exact.exp() * prior.exp()) / (exact.exp() * prior.exp()).sum(1, keepdim=True)
    torch.testing.assert_close(normalize_posterior(exact, prior).exp(), by_hand)
    torch.testing.assert_close(sum_over_classes(exact, prior), (exact.exp() * prior.exp()).sum(1).log())
    by_class = class_log_likelihoods(model, x, CLASSES, num_samples=500, seed=0)
    found = normalize_posterior(by_class, prior).exp()
    torch.testing.assert_close(found, by_hand, rtol=0, atol=0.02)
    torch.testing.assert_close(found.sum(1), torch.ones(300, dtype=torch.float64))


def test_the_rule_stands_in_log_space():
    far = torch.tensor([[-9000.0, -9001.0, -9500.0]], dtype=torch.float64)
    uniform = torch.zeros(3, dtype=torch.float64) - math.log(3)
    torch.testing.assert_close(
        normalize_posterior(far, uniform)[0, 0].exp(), torch.tensor(1 / (1 + math.exp(-1))).double()
    )
    never = log_frequencies(torch.tensor([0, 0, 1]), 3)
    assert never.tolist() == pytest.approx([math.log(2 / 3), math.log(1 / 3), -math.inf])
    assert normalize_posterior(far, never)[0, 2] == -math.inf and normalize_posterior(far, never)[
        0, :2
    ].exp().sum() == pytest.approx(1)


def test_kl_divergence_is_that_by_hand():
    p, q = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.7, 0.1]]), torch.tensor([[0.25, 0.5, 0.25], [0.2, 0.7, 0.1]])
    assert kl_divergence(p.log(), q.log()).tolist() == pytest.approx([0.5 * math.log(2), 0])
    assert kl_divergence(p.log(), p.log()).tolist() == [0, 0]


# --- p(x|y) from an unconditional sampler


def test_the_effective_sample_size():
    for weights, size in (([1.0] * 7, 7), ([0.0, 5.0, 0.0], 1), ([1.0, 2.0, 3.0], 36 / 14)):
        assert importance_resample(torch.tensor(weights)[:, None], 0, 5, seed=0)[1] == pytest.approx(size)


def test_resampling_draws_from_the_conditional():
    """p(x) uniform over four kinds of image, p(y=1|x) as given: p(x|y=1) is proportional to it."""
    kinds = torch.arange(4000) % 4
    given = torch.tensor([0.0, 0.1, 0.3, 0.8])[kinds]
    rows, size = importance_resample(torch.stack([1 - given, given], 1), 1, 20_000, seed=0)
    shares = kinds[rows].bincount(minlength=4) / 20_000
    torch.testing.assert_close(shares, torch.tensor([0.0, 1, 3, 8]) / 12, rtol=0, atol=0.015)
    assert size == pytest.approx(1000 * 1.2**2 / (0.1**2 + 0.3**2 + 0.8**2), rel=1e-4)
    assert torch.equal(rows, importance_resample(torch.stack([1 - given, given], 1), 1, 20_000, seed=0)[0])
    with pytest.raises(ValueError, match="no image has any probability of class 0"):
        importance_resample(torch.eye(2)[[1, 1]], 0, 5, seed=0)


# --- the metrics


def test_nll_is_that_of_the_closed_form_and_the_bound_is_looser():
    model = Linear(wider=1.4)
    e = evidence(model)
    found = compute_metrics(e, ["elbo", "nll"])
    exact = -model.exact(e.test.pixels)
    assert found["nll"].value == pytest.approx(float(exact.mean()), abs=0.01)
    assert -found["elbo"].value > found["nll"].value
    half = 1.96 * float(exact.std()) / math.sqrt(300)
    assert found["nll"].high - found["nll"].value == pytest.approx(half, rel=0.02)
    assert found["nll"].detail | {"null": 0} == {
        "samples": 200, "of": "x", "observation": "gaussian", "null": 0,
        "bits_per_dim": pytest.approx(found["nll"].value / (math.prod(SHAPE) * math.log(2)) + 8),
    }  # fmt: skip
    assert get_metric("nll").better == "lower" and found["nll"].null is None and found["nll"].n == 300


def test_a_conditional_model_is_asked_at_the_label_and_summed_over_classes():
    model = Conditional()
    e = evidence(model)
    found = get_metric("nll")(e)
    assert found.value == pytest.approx(-float(model.exact(e.test.pixels, e.test.labels).mean()), abs=0.02)
    by_class = torch.stack([model.exact(e.test.pixels, torch.full((300,), c)) for c in range(CLASSES)], 1)
    exact = -float(sum_over_classes(by_class, log_frequencies(e.train.labels, CLASSES)).mean())
    assert found.detail["marginal"]["value"] == pytest.approx(exact, abs=0.03)
    assert found.detail["of"] == "x given its label"


def test_the_offset_moves_likelihoods_to_intensities():
    e = evidence(Linear())
    moved = Linear()
    moved.nll_offset = -math.prod(SHAPE) * math.log(2)
    for name, sign in (("nll", 1), ("elbo", -1)):
        one, two = get_metric(name)(e).value, get_metric(name)(replace(e, model=moved)).value
        assert two - one == pytest.approx(sign * moved.nll_offset)


def test_bayes_accuracy_is_that_of_the_closed_form():
    model = Conditional()
    e = evidence(model)
    found = get_metric("bayes_accuracy")(e)
    by_class = torch.stack([model.exact(e.test.pixels, torch.full((300,), c)) for c in range(CLASSES)], 1)
    exact = normalize_posterior(by_class, log_frequencies(e.train.labels, CLASSES))
    assert found.value == pytest.approx(share(exact.argmax(1) == e.test.labels), abs=0.011)
    assert found.low < found.value < found.high and found.detail["k"] == 20
    assert found.detail["same_as_judge"] == pytest.approx(share(exact.argmax(1) == e.test.predicted_classes), abs=0.011)
    kl = kl_divergence(e.test.probabilities.double().log(), exact).mean()
    assert found.detail["kl_from_judge"] == pytest.approx(float(kl), rel=0.05)


@pytest.mark.parametrize("model", [Linear(), Conditional()])
def test_foreign_images_are_told_by_their_probability(model):
    e = evidence(model)
    same = get_metric("anomaly_auroc")(replace(e, domain_b_test=view(*drawn(Conditional(), 300, 9))))
    if "conditional" in dir(model):
        assert same.low < 0.5 < same.high
    far = get_metric("anomaly_auroc")(replace(e, domain_b_test=view(drawn(model, 200, 9)[0] + 20, None)))
    assert far.value == 1 and far.detail | {"null": 0} == {"against": "the other domain", "foreign": 200, "null": 0}
    shuffled = get_metric("anomaly_auroc")(e)
    assert shuffled.value > 0.6 and shuffled.detail["against"] == "shuffled pixels"


def test_the_area_is_that_of_scikit_learn_with_ties_and_its_interval_covers():
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        negative, positive = rng.integers(0, 12, 60), rng.integers(2, 14, 40)
        area, low, high = auroc(torch.from_numpy(positive), torch.from_numpy(negative))
        theirs = metrics.roc_auc_score(np.r_[np.zeros(60), np.ones(40)], np.r_[negative, positive])
        assert area == pytest.approx(theirs, abs=1e-12)
        differences = np.arange(2, 14)[:, None] - np.arange(12)
        covered += low <= ((differences > 0) + 0.5 * (differences == 0)).mean() <= high
    assert 0.9 <= covered / 200 <= 0.99


def test_scores_that_do_not_overlap_still_have_an_interval():
    high, low = torch.arange(30.0) + 100, torch.arange(50.0)
    assert auroc(high, low) == (1.0, *wilson(30, 30)) and auroc(low, high) == (0.0, *wilson(0, 30))


def test_samples_are_what_the_budget_affords():
    assert (
        samples_within_budget(10, 5000, (1, 28, 28)) == 5000
        and samples_within_budget(10_000, 5000, (1, 28, 28)) == 25
        and samples_within_budget(10**9, 5, (1, 28, 28)) == 1
    )


def test_larger_images_get_fewer_samples_and_smaller_ones_no_more():
    sides = (4, 28, 56, 128, 256)
    samples = [samples_within_budget(1000, 5000, (3, side, side)) for side in sides]
    values = [3 * side**2 * count for side, count in zip(sides, samples, strict=True)]
    assert (
        samples[0] == 250
        and samples == sorted(samples, reverse=True)
        and max(values[:-1]) <= 250 * 28**2
        and samples[-1] == 1
    )


def test_the_same_evidence_gives_the_same_numbers():
    e = evidence(Conditional(), 60)
    for name in LIKELIHOODS:
        assert get_metric(name)(e) == get_metric(name)(e)
    assert get_metric("nll")(e).value != get_metric("nll")(replace(e, seed=1)).value


# --- what cannot be measured


@pytest.mark.parametrize(
    ("model", "names", "labelled", "n", "reason"),
    [
        (None, ("elbo", "nll", "anomaly_auroc"), True, 20, "this model has no likelihood"),
        (Linear(), ("bayes_accuracy",), True, 20, "this model has no likelihood of an image given its class"),
        (Conditional(), LIKELIHOODS, False, 20, "the data have no labels"),
        (Grey(), ("nll",), True, 20, "a Bernoulli likelihood of grey levels is not normalised"),
        (Conditional(), LIKELIHOODS, True, 1, "needs at least 2 test images, found 1"),
    ],
)
def test_what_is_missing_is_the_reason(model, names, labelled, n, reason):
    e = replace(evidence(Linear(), n, labelled), model=model)
    for measure in compute_metrics(e, names).values():
        assert measure.value is None and measure.detail["reason"] == reason


def test_a_model_of_the_project_is_measured():
    """The variational autoencoders as they come, untrained: real images of bytes, every kind of pixel."""
    from genlib.registry import build

    g = torch.Generator().manual_seed(0)
    images = Images(torch.randint(0, 256, (40, 1, 8, 8), generator=g).to(torch.uint8), torch.arange(40) % CLASSES)
    seen = FeatureSet(
        images.pixels, images.labels, to_float(images.pixels).flatten(1), torch.full((40, CLASSES), 1 / 3)
    )
    for name, kind in (("vae", "binarized"), ("cvae", "gaussian")):
        options = {"name": name, "width": 4, "latent": 2, "pixel_likelihood": kind}
        model = build("models", options, (1, 8, 8), CLASSES, where="model")
        found = compute_metrics(MetricInputs(seen, seen, seen, None, 0, model), LIKELIHOODS)
        assert found["nll"].value > 0 and found["nll"].value <= -found["elbo"].value + 1
        assert (found["bayes_accuracy"].value is None) == (name == "vae")
        assert found["anomaly_auroc"].value is not None
