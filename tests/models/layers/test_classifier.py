"""The temperature of calibrated classifiers against scipy's optimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from genlib.data.images import Images
from genlib.metrics.classification import compute_accuracy
from genlib.metrics.inputs import extract_features
from genlib.models import cnn_classifier, resnet_classifier
from genlib.models.layers.classifier import Temperature, fit_temperature

JUDGES = {"classifier": cnn_classifier, "scorer": resnet_classifier}
EVERY = pytest.mark.parametrize("name", JUDGES)
SHAPE = (1, 8, 8)


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def made(name, classes=10):
    return JUDGES[name].Build(SHAPE, classes, width=4, features=6).eval()


def images(n=60, labels=True):
    pixels = torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8)
    return Images(pixels, torch.randint(0, 10, (n,)) if labels else None)


def draws(n, sureness=1.0):
    """Logits that are `sureness` times too large, and labels drawn from what they should have been."""
    logits = 2 * torch.randn(n, 5)
    labels = torch.multinomial(logits.softmax(1), 1).squeeze(1)
    return sureness * logits, labels


@pytest.mark.parametrize("sureness", [0.5, 1.0, 3.0, 20.0])
def test_the_temperature_undoes_too_much_or_too_little_sureness(sureness):
    assert fit_temperature(*draws(20_000, sureness)).item() == pytest.approx(sureness, rel=0.05)


def test_the_temperature_is_the_one_that_scipy_finds():
    optimize = pytest.importorskip("scipy.optimize")
    logits, labels = draws(300, 2.5)

    def loss(log_t):
        return F.cross_entropy(logits.double() / np.exp(log_t), labels).item()

    theirs = optimize.minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9})
    assert fit_temperature(logits, labels).log().item() == pytest.approx(theirs.x, abs=1e-5)


def test_without_an_error_to_learn_from_the_temperature_stays_one():
    logits = 10 * torch.eye(4)
    assert fit_temperature(logits, torch.arange(4)) == 1
    assert fit_temperature(logits, torch.tensor([0, 1, 2, 0])) != 1
    assert fit_temperature(torch.empty(0, 4), torch.empty(0, dtype=torch.long)) == 1


@EVERY
def test_a_judge_is_calibrated_wherever_it_is_read(name):
    judge, valid = made(name), images()
    x = torch.rand(7, *SHAPE) * 2 - 1
    before = judge(x)
    judge.on_fit_end(images(), valid)
    t = judge.temperature.value
    assert t != 1
    torch.testing.assert_close(judge(x), before / t)
    torch.testing.assert_close(judge.head(judge.features(x)), before / t)
    torch.testing.assert_close(
        extract_features(judge, valid).probabilities, judge.head(extract_features(judge, valid).features).softmax(1)
    )


@EVERY
def test_no_other_temperature_is_better_on_validation(name):
    judge, valid = made(name), images(300)
    sure = 5 * extract_features(judge, valid).probabilities.log()
    valid = Images(valid.pixels, torch.multinomial(sure.softmax(1), 1).squeeze(1))
    judge.on_fit_end(images(), valid)
    logits = extract_features(judge, valid).probabilities.log()
    at = [F.cross_entropy(logits * b, valid.labels).item() for b in (0.9, 1.0, 1.1)]
    assert at[1] < min(at[0], at[2])


@EVERY
def test_calibration_leaves_accuracy_alone_and_can_be_done_again(name):
    judge, valid = made(name), images()
    before = compute_accuracy(extract_features(judge, valid))
    for _ in range(2):
        judge.on_fit_end(images(), valid)
        first = judge.temperature.value.clone()
    assert compute_accuracy(extract_features(judge, valid)) == before
    judge.on_fit_end(images(), valid)
    assert torch.equal(judge.temperature.value, first)


@EVERY
def test_without_labels_probabilities_stay_as_they_are(name):
    judge = made(name, classes=0)
    judge.on_fit_end(images(labels=False), images(labels=False))
    assert judge.temperature.value == 1


def test_a_temperature_is_saved_and_not_learned():
    layer = Temperature()
    assert not list(layer.parameters())
    assert list(layer.state_dict()) == ["value"]
