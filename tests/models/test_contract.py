"""Models look at one image at a time, and refuse images and options that cannot be."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from genlib.models import cnn_classifier, gan, resnet_classifier, vae
from genlib.objectives import adversarial, classification, elbo

CLASSES = 10
MODELS = {
    "classifier": lambda shape, classes=CLASSES: cnn_classifier.Build(shape, classes, width=4, features=6),
    "scorer": lambda shape, classes=CLASSES: resnet_classifier.Build(shape, classes, width=4, features=6),
    "vae": lambda shape, classes=CLASSES: vae.Build(shape, classes, latent=3, width=4),
    "gan": lambda shape, classes=CLASSES: gan.Build(shape, classes, latent=3, width=4, width_d=5),
}


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def made(name, shape=(1, 16, 16), classes=CLASSES):
    return MODELS[name](shape, classes).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", MODELS)
def test_looks_at_one_example_at_a_time(name):
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in made(name).modules())


@pytest.mark.parametrize(
    ("room", "options"),
    [
        (cnn_classifier, {"width": 0}),
        (cnn_classifier, {"features": 0}),
        (resnet_classifier, {"width": -1}),
        (resnet_classifier, {"features": 0}),
        (vae, {"latent": 0}),
        (vae, {"width": 0}),
        (gan, {"latent": 0}),
        (gan, {"width": 0}),
        (gan, {"width_d": 0}),
        (elbo, {"beta": -0.5}),
        (elbo, {"warm_up": -1}),
        (classification, {"shift": -1}),
        (classification, {"label_smoothing": 1.0}),
        (adversarial, {"loss": "sinkhorn"}),
        (adversarial, {"r1": -1.0}),
        (adversarial, {"r2": float("nan")}),
        (adversarial, {"lazy_reg_interval": 0}),
        (adversarial, {"d_steps_per_g_step": 0}),
        (adversarial, {"label_smoothing": -0.1}),
    ],
)
def test_an_option_out_of_range_is_named_with_what_was_found(room, options):
    ((name, value),) = options.items()
    shape = ((1, 16, 16), CLASSES) if room.__name__.startswith("genlib.models") else ()
    with pytest.raises(ValueError, match=f"^{name}: got {value}, expected "):
        room.Build(*shape, **options)


@pytest.mark.parametrize("name", MODELS)
def test_images_that_are_too_small_are_refused(name):
    with pytest.raises(ValueError, match="shape: got 7x16 pixels, expected at least 8 a side"):
        made(name, (1, 7, 16))
