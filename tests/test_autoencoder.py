"""Autoencoders against PCA, their mixture against scikit-learn's, and what their codes are good for."""

from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import genlib
from genlib.data.batches import batches
from genlib.data.config import DataConfig
from genlib.data.dataset import load_dataset, prepare
from genlib.data.images import Images, to_float
from genlib.errors import InputError
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.linear_probe import (
    LabelledFeatures,
    encode_pixels,
    fit_logistic_regression,
    fit_probe,
    probe_accuracy,
)
from genlib.metrics.registry import compute_metrics
from genlib.models import autoencoder
from genlib.models.layers import gaussian_mixture as mixture
from genlib.models.layers.gaussian_mixture import GaussianMixture
from genlib.objectives import reconstruction
from genlib.training.config import TrainConfig
from genlib.training.fit import fit
from genlib.training.job import TrainingJob, save_model
from genlib.training.loop import train
from genlib.training.state import AdamConfig, TrainState

SHAPE = (1, 8, 8)
NETS = [("linear", False), ("linear", True), ("mlp", False), ("mlp", True), ("conv", False)]


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    prepare(DataConfig(name="digits"), folder)
    return load_dataset(folder)


def made(shape=SHAPE, **options):
    return autoencoder.Build(shape, 10, **{"latent": 4, "width": 4} | options)


def blobs(n=600, d=3, seed=0):
    """Points of three well separated Gaussians, float64 [n, d]."""
    generator = torch.Generator().manual_seed(seed)
    centres = 6 * torch.randn(3, d, dtype=torch.float64, generator=generator)
    turns = torch.randn(3, d, d, dtype=torch.float64, generator=generator)
    kind = torch.randint(0, 3, (n,), generator=generator)
    noise = torch.randn(n, d, dtype=torch.float64, generator=generator)
    return centres[kind] + torch.einsum("nij,nj->ni", turns[kind], noise)


def black_and_white(n=32):
    return Images(255 * torch.randint(0, 2, (n, *SHAPE), dtype=torch.uint8))


def grey(n=32):
    return Images(torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8))


# --- the networks


@pytest.mark.parametrize(("net", "tied"), NETS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13)])
def test_codes_and_images_have_their_shapes(net, tied, shape):
    model = made(shape, net=net, tied=tied)
    x = torch.rand(5, *shape) * 2 - 1
    assert model.encode_mean(x).shape == (5, 4)
    assert model.decode_image(model.encode_mean(x)).shape == x.shape
    torch.testing.assert_close(model.reconstruct(x), model.decode_image(model.encode_mean(x)))
    assert model.decode_image(1e3 * torch.randn(5, 4)).abs().max() <= 1


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


@pytest.mark.parametrize("net", ["linear", "mlp"])
def test_tied_weights_are_one_parameter_used_twice(net):
    free, tied = made(net=net), made(net=net, tied=True)
    weights = sum(p.numel() for p in free.encoder.parameters() if p.ndim == 2)
    assert sum(p.numel() for p in free.parameters()) - sum(p.numel() for p in tied.parameters()) == weights
    assert not any(p.ndim == 2 for p in tied.decoder.parameters())
    twin = copy.deepcopy(tied)
    last = twin.encoder[1][-1]
    with torch.no_grad():
        last.weight.mul_(2)
    z = torch.randn(3, 4)
    assert not torch.allclose(twin.decoder(z), tied.decoder(z))


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent": 0}, "latent must be at least 1, found 0"),
        ({"width": 0}, "width must be at least 1, found 0"),
        ({"net": "deep"}, "net must be one of linear, mlp, conv, found deep"),
        ({"output": "relu"}, "output must be one of auto, linear, sigmoid, tanh, found relu"),
        ({"net": "conv", "tied": True}, "tied must be false with the net conv, found True"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        made(**options)


# --- the output and the losses


def test_the_output_is_chosen_by_the_training_images():
    h = torch.linspace(-3, 3, 64).view(1, *SHAPE)
    for images, expected in [(black_and_white(), h.tanh()), (grey(), h)]:
        model = made(net="linear")
        model.on_fit_start(images, grey())
        torch.testing.assert_close(model.apply_output(h), expected)
    model = made(net="linear", output="sigmoid")
    model.on_fit_start(black_and_white(), grey())
    torch.testing.assert_close(model.apply_output(h), 2 * h.sigmoid() - 1)


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
    with pytest.raises(ValueError, match=r"sigmoid or tanh, found linear$"):
        reconstruction.Build(loss="cross_entropy").phases(made(output="linear"))
    model = made(net="mlp")
    (turn,) = reconstruction.Build(loss="cross_entropy").phases(model)
    model.on_fit_start(grey(), grey())
    with pytest.raises(InputError, match="found linear, chosen by auto"):
        turn.step_losses(next(batches(grey(), 8, seed=0)))
    model.on_fit_start(black_and_white(), grey())
    assert turn.step_losses(next(batches(black_and_white(), 8, seed=0))).loss.shape == (8,)


def test_a_model_without_codes_is_refused():
    with pytest.raises(ValueError, match="got Linear, expected a model with encode_mean"):
        reconstruction.Build().phases(torch.nn.Linear(2, 2))


# --- PCA


@pytest.mark.parametrize("tied", [False, True])
def test_a_linear_autoencoder_spans_the_principal_components(data, tied):
    decomposition = pytest.importorskip("sklearn.decomposition")
    linalg = pytest.importorskip("scipy.linalg")
    k, model = 6, made(net="linear", latent=6, tied=tied, output="linear")
    turns = reconstruction.Build().phases(model)
    state = TrainState.create(model, turns, {"model": AdamConfig(2e-2)})
    plan = TrainConfig(
        600_000, 256, ema=0.99, schedule="linear", decay_start=0.5, report_every=600_000, precision="float32"
    )
    for _ in train(state, data.train, plan):
        pass
    x = to_float(data.train.pixels).flatten(1).double()
    pca = decomposition.PCA(k).fit(x.numpy())
    best = np.square(pca.inverse_transform(pca.transform(x.numpy())) - x.numpy()).mean()
    with torch.no_grad():
        z = state.ema.encode_mean(x.float().view(-1, *SHAPE))
        error = float((state.ema.apply_output(state.ema.decoder(z)).flatten(1) - x).square().mean())
        spanned = state.ema.decoder(torch.eye(k)) - state.ema.decoder(torch.zeros(1, k))
    assert best * (1 - 1e-6) <= error <= 1.01 * best
    angles = np.degrees(linalg.subspace_angles(spanned.flatten(1).double().numpy().T, pca.components_.T))
    assert angles.max() < 5


# --- the mixture


@pytest.mark.parametrize("ridge", [1e-9, 0.3])
def test_every_step_of_the_fit_raises_its_objective(ridge):
    z = torch.randn(300, 4, dtype=torch.float64) ** 3
    _, gained = mixture.fit_em(z, 5, ridge)
    assert len(gained) > 5
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(gained))


def test_the_mixture_is_as_likely_as_that_of_scikit_learn():
    models = pytest.importorskip("sklearn.mixture")
    z = blobs()
    found, gained = mixture.fit_em(z, 3, 1e-6)
    theirs = models.GaussianMixture(3, reg_covar=1e-6, tol=1e-6, max_iter=500, n_init=5, random_state=0).fit(z.numpy())
    mine = found.log_joint(z).logsumexp(1).mean().item()
    assert mine == pytest.approx(theirs.score(z.numpy()), abs=2e-3)
    assert mine == pytest.approx(gained[-1])
    order, other = found.weights.argsort(), theirs.weights_.argsort()
    np.testing.assert_allclose(found.means[order], theirs.means_[other], atol=0.02)
    np.testing.assert_allclose((found.roots @ found.roots.mT)[order], theirs.covariances_[other], rtol=0.05, atol=0.05)


def test_the_objective_is_the_mean_over_blurred_points():
    z = torch.randn(1, 2, dtype=torch.float64)
    spread = torch.tensor([[1.0, 0.0], [0.5, 0.8]], dtype=torch.float64)
    one = mixture.MixtureParameters(
        torch.ones(1, dtype=torch.float64), torch.zeros(1, 2).double(), spread[None], ridge=0.25
    )
    blurred = z + 0.5 * torch.randn(200_000, 2, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(torch.zeros(2).double(), scale_tril=spread)
    assert one.log_joint(z).item() == pytest.approx(normal.log_prob(blurred).mean().item(), abs=0.01)


def test_draws_of_the_mixture_have_the_moments_of_the_points():
    z = blobs(2000)
    law = GaussianMixture(3, 3)
    law.fit(z)
    drawn = law.sample_from_noise(torch.randn(200_000, 4)).double()
    torch.testing.assert_close(drawn.mean(0), z.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.T.cov(), z.T.cov(), rtol=0.02, atol=0.2)


def test_a_mixture_that_was_not_fitted_is_the_standard_normal():
    noise = torch.randn(1000, 4)
    torch.testing.assert_close(GaussianMixture(3, 3).sample_from_noise(noise), noise[:, :3])


@pytest.mark.parametrize("z", [torch.zeros(20, 3), torch.eye(3), torch.randn(5, 40)], ids=["one point", "few", "flat"])
def test_degenerate_points_still_give_a_mixture(z):
    law = GaussianMixture(10, z.shape[1])
    law.fit(z)
    assert law.sample_from_noise(torch.randn(50, z.shape[1] + 1)).isfinite().all()


def test_the_fit_is_a_function_of_the_points():
    laws = [GaussianMixture(4, 3), GaussianMixture(4, 3)]
    for law in laws:
        law.fit(blobs())
    assert all(torch.equal(a, b) for a, b in zip(laws[0].buffers(), laws[1].buffers(), strict=True))


def test_samples_follow_the_codes_only_from_the_mixture(data):
    model = made(net="linear", tied=True, output="linear", latent=3)
    model.on_fit_start(data.train, data.valid)
    model.on_fit_end(data.train, data.valid)
    codes = encode_pixels(model, data.train.pixels)
    mixed, normal = (model.encode_mean(model.sample(500, prior=prior)) for prior in ("mixture", "normal"))
    assert mixed.shape == normal.shape == (500, 3)
    assert not torch.allclose(mixed, normal)
    drawn = model.mixture.sample_from_noise(torch.randn(50_000, 4)).double()
    torch.testing.assert_close(drawn.mean(0), codes.mean(0), rtol=0.05, atol=0.05)
    torch.testing.assert_close(drawn.T.cov(), codes.T.cov(), rtol=0.1, atol=0.05)


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_a_trained_autoencoder_keeps_its_mixture_on_disk(data, net, tmp_path):
    model = {"name": "autoencoder", "net": net, "latent": 3, "width": 4, "tied": net == "mlp"}
    plan = TrainConfig(total_images=96, batch_size=16, report_every=32, checkpoint_every=32, precision="float32")
    job = TrainingJob("ae", model, {"name": "reconstruction"}, plan, data, tmp_path / "state")
    last = list(fit(job))[-1]
    save_model(job, tmp_path / "model")
    again = genlib.load(tmp_path / "model")
    assert not torch.equal(again.mixture.means, torch.zeros(10, 3))
    for prior in ("mixture", "normal"):
        assert torch.equal(again.sample(20, seed=1, prior=prior), last.model.sample(20, seed=1, prior=prior))


# --- the probe


def labelled(n, seed, d=5, classes=3):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (n,), generator=generator)
    x = torch.randn(n, d, dtype=torch.float64, generator=generator)
    return LabelledFeatures(x + F.one_hot(y, d), y)


@pytest.mark.parametrize("penalty", [1.0, 1e-3])
def test_the_regression_is_that_of_scikit_learn(penalty):
    linear_model = pytest.importorskip("sklearn.linear_model")
    known = labelled(300, 0)
    weights = fit_logistic_regression(known.x, known.y, penalty, torch.zeros(6, 3, dtype=torch.float64))
    theirs = linear_model.LogisticRegression(C=1 / (penalty * 300), tol=1e-10, max_iter=10_000)
    theirs.fit(known.x.numpy(), known.y.numpy())
    np.testing.assert_allclose(weights[:-1].T, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(
        weights[-1] - weights[-1].mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=1e-4
    )


def test_the_probe_does_not_mind_the_units_of_a_feature_or_constants():
    parts = [labelled(300, seed) for seed in range(3)]
    units = torch.tensor([1e-3, 1.0, 7.0, 100.0, 1.0], dtype=torch.float64)
    scaled = [LabelledFeatures(torch.cat([part.x * units + 5, torch.ones(300, 2)], 1), part.y) for part in parts]
    assert fit_probe(*parts).value == fit_probe(*scaled).value > 0.5


def evidence_of(data, model):
    views = (
        FeatureSet(part.pixels, part.labels, torch.zeros(len(part), 2), torch.zeros(len(part), 10))
        for part in (data.train, data.valid, data.test)
    )
    return MetricInputs(*views, None, seed=0, model=model)


def test_codes_that_are_the_pixels_are_as_good_as_the_pixels(data):
    model = made(net="linear", latent=64)
    with torch.no_grad():
        model.encoder[1][0].weight.copy_(torch.eye(64))
    found = compute_metrics(evidence_of(data, model), ["probe_accuracy"])["probe_accuracy"]
    assert found.low < found.value < found.high
    assert found.n == len(data.test)
    assert found.value == pytest.approx(found.detail["pixels"]["value"], abs=0.004)
    assert found.value > 0.9


def test_codes_without_meaning_are_worth_nothing(data):
    model = made(net="linear", latent=2)
    with torch.no_grad():
        model.encoder[1][0].weight.zero_()
    assert probe_accuracy(evidence_of(data, model)).value < 0.2


def test_a_model_that_was_told_the_label_has_no_probe(data):
    model = made()
    model.conditional = True
    assert "told the label" in probe_accuracy(evidence_of(data, model)).detail["reason"]
