"""The linear probe against scikit-learn's logistic regression, and on codes of known worth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from genlib.data.config import DataConfig
from genlib.data.dataset import load_dataset, prepare
from genlib.evaluation.runner import compute_metrics
from genlib.metrics import linear_probe
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.linear_probe import fit_logistic_regression, fit_probe, probe_accuracy
from genlib.models import autoencoder

SHAPE = (1, 8, 8)


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


def labelled(n, seed, d=5, classes=3):
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, classes, (n,), generator=generator)
    x = torch.randn(n, d, dtype=torch.float64, generator=generator)
    return (x + F.one_hot(y, d), y)


@pytest.mark.parametrize("penalty", [1.0, 1e-3])
def test_the_regression_is_that_of_scikit_learn(penalty):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = labelled(300, 0)
    weights = fit_logistic_regression(x, y, penalty, torch.zeros(6, 3, dtype=torch.float64))
    theirs = linear_model.LogisticRegression(C=1 / (penalty * 300), tol=1e-10, max_iter=10_000)
    theirs.fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(weights[:-1].T, theirs.coef_, atol=1e-4)
    np.testing.assert_allclose(
        weights[-1] - weights[-1].mean(), theirs.intercept_ - theirs.intercept_.mean(), atol=1e-4
    )


def test_the_probe_does_not_mind_the_units_of_a_feature_or_constants():
    parts = [labelled(300, seed) for seed in range(3)]
    units = torch.tensor([1e-3, 1.0, 7.0, 100.0, 1.0], dtype=torch.float64)
    scaled = [(torch.cat([x * units + 5, torch.ones(300, 2)], 1), y) for x, y in parts]
    assert fit_probe(*parts).value == fit_probe(*scaled).value > 0.5


def test_features_beyond_the_number_of_images_change_nothing_but_the_time(monkeypatch):
    parts = [labelled(n, seed, d=90) for n, seed in ((40, 0), (60, 1), (200, 2))]
    assert linear_probe.row_space_basis(parts[0][0]).shape == (90, 40)
    found, sizes, fit = fit_probe(*parts), [], linear_probe.fit_logistic_regression
    monkeypatch.setattr(
        linear_probe, "fit_logistic_regression", lambda x, *rest: sizes.append(x.shape) or fit(x, *rest)
    )
    assert fit_probe(*parts) == found and set(sizes) == {(40, 40)}
    monkeypatch.setattr(linear_probe, "row_space_basis", lambda x: torch.eye(90, dtype=torch.float64))
    assert fit_probe(*parts) == found and found.detail["features"] == 90 and sizes[-1] == (40, 90)


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
    assert "gets the label" in probe_accuracy(evidence_of(data, model)).detail["reason"]
