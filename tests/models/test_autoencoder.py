"""Autoencoders: their shapes, options and outputs, PCA as the linear case, and samples from the mixture."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import genlib
from genlib.data.config import DataConfig
from genlib.data.dataset import load_dataset, prepare
from genlib.data.images import Images, to_float
from genlib.metrics.linear_probe import (
    encode_pixels,
)
from genlib.models import autoencoder
from genlib.objectives import reconstruction
from genlib.training.config import TrainConfig
from genlib.training.fit import fit
from genlib.training.job import TrainingJob, save_model
from genlib.training.loop import train
from genlib.training.state import TrainState

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


def black_and_white(n=32):
    return Images(255 * torch.randint(0, 2, (n, *SHAPE), dtype=torch.uint8))


def grey(n=32):
    return Images(torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8))


@pytest.mark.parametrize(("net", "tied"), NETS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 13)])
def test_codes_and_images_have_their_shapes(net, tied, shape):
    model = made(shape, net=net, tied=tied)
    x = torch.rand(5, *shape) * 2 - 1
    assert model.encode_mean(x).shape == (5, 4)
    assert model.decode_image(model.encode_mean(x)).shape == x.shape
    torch.testing.assert_close(model.reconstruct(x), model.decode_image(model.encode_mean(x)))
    assert model.decode_image(1e3 * torch.randn(5, 4)).abs().max() <= 1


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"latent": 0}, "latent: got 0, expected at least 1"),
        ({"width": 0}, "width: got 0, expected at least 1"),
        ({"net": "deep"}, "net: got deep, expected one of linear, mlp, conv"),
        ({"output": "relu"}, "output: got relu, expected one of auto, linear, sigmoid, tanh"),
        ({"net": "conv", "tied": True}, "tied: got true, expected false with the net conv"),
    ],
)
def test_an_option_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        made(**options)


def test_the_output_is_chosen_by_the_training_images():
    h = torch.linspace(-3, 3, 64).view(1, *SHAPE)
    for images, expected in [(black_and_white(), h.tanh()), (grey(), h)]:
        model = made(net="linear")
        model.on_fit_start(images, grey())
        torch.testing.assert_close(model.apply_output(h), expected)
    model = made(net="linear", output="sigmoid")
    model.on_fit_start(black_and_white(), grey())
    torch.testing.assert_close(model.apply_output(h), 2 * h.sigmoid() - 1)


@pytest.mark.parametrize("tied", [False, True])
def test_a_linear_autoencoder_spans_the_principal_components(data, tied):
    decomposition = pytest.importorskip("sklearn.decomposition")
    linalg = pytest.importorskip("scipy.linalg")
    k, model = 6, made(net="linear", latent=6, tied=tied, output="linear")
    turns = reconstruction.Build().phases(model)
    state = TrainState.create(model, turns, TrainConfig(lr=2e-2))
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
