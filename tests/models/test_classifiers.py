"""Both classifiers: features, logits, calibrated probabilities."""

from __future__ import annotations

import pytest
import torch

from genlib.errors import InputError
from genlib.models import cnn_classifier, gan, resnet_classifier, vae
from genlib.models.layers.blocks import num_downsamples
from genlib.registry import build

SHAPES = [(1, 8, 8), (1, 16, 16), (1, 28, 28), (3, 32, 32), (1, 64, 64), (1, 9, 13)]
CLASSES = 10
MODELS = {
    "classifier": lambda shape, classes=CLASSES: cnn_classifier.Build(shape, classes, width=4, features=6),
    "scorer": lambda shape, classes=CLASSES: resnet_classifier.Build(shape, classes, width=4, features=6),
    "vae": lambda shape, classes=CLASSES: vae.Build(shape, classes, latent=3, width=4),
    "gan": lambda shape, classes=CLASSES: gan.Build(shape, classes, latent=3, width=4, width_d=5),
}
MODULES = {"classifier": cnn_classifier, "scorer": resnet_classifier}
JUDGES = list(MODULES)


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def made(name, shape=(1, 16, 16), classes=CLASSES):
    return MODELS[name](shape, classes).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("classes", [CLASSES, 0])
@pytest.mark.parametrize("name", JUDGES)
def test_judges_give_features_and_logits(name, classes, shape):
    judge = made(name, shape, classes)
    x = torch.rand(5, *shape) * 2 - 1
    assert judge.features(x).shape == (5, 6)
    assert judge(x).shape == (5, classes or 4)
    assert judge.features(x).isfinite().all()
    torch.testing.assert_close(judge(x)[2:3], judge(x[2:3]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", JUDGES)
def test_averages_over_places_have_a_direction_only(name, shape):
    judge = MODULES[name].Build(shape, CLASSES, width=4, features="pooled")
    x = torch.rand(5, *shape) * 2 - 1
    h = judge.features(x)
    assert h.shape == (5, 4 * 2 ** min(2, num_downsamples(shape) - 1)) and judge(x).shape == (5, CLASSES)
    torch.testing.assert_close(h.square().mean(1), torch.ones(5), rtol=1e-3, atol=0)


@pytest.mark.parametrize("features", ["pool", 0, None, 2.5])
def test_a_wrong_number_of_features_is_refused(features):
    with pytest.raises((InputError, ValueError), match="features: got"):
        build(
            "models", {"name": "resnet_classifier", "features": features}, (3, 32, 32), CLASSES, where="models.scorer"
        )


def test_the_default_judges_have_at_most_32_features():
    for module in (cnn_classifier, resnet_classifier):
        assert module.Build((1, 16, 16), CLASSES).features(torch.zeros(1, 1, 16, 16)).shape[1] <= 32
