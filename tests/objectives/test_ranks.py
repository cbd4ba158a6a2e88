"""The gradients of several ranks, each with its rows of the batch, sum to those of one."""

from __future__ import annotations

import pytest
import torch
from phases import gradients_of

from genlib.data.batches import Batch, batches
from genlib.data.images import Images
from genlib.models import cnn_classifier, gan, resnet_classifier, vae
from genlib.objectives import adversarial, classification, elbo

CLASSES = 10
MODELS = {
    "classifier": lambda shape, classes=CLASSES: cnn_classifier.Build(shape, classes, width=4, features=6),
    "scorer": lambda shape, classes=CLASSES: resnet_classifier.Build(shape, classes, width=4, features=6),
    "vae": lambda shape, classes=CLASSES: vae.Build(shape, classes, latent=3, width=4),
    "gan": lambda shape, classes=CLASSES: gan.Build(shape, classes, latent=3, width=4, width_d=5),
}
LOSSES = list(adversarial.LOSSES)
OBJECTIVES = {
    "classification": ("classifier", lambda: classification.Build(label_smoothing=0.1, shift=1)),
    "residual classification": ("scorer", lambda: classification.Build()),
    "elbo": ("vae", lambda: elbo.Build(beta=2.0)),
    **{name: ("gan", lambda name=name: adversarial.Build(loss=name, r1=0.3, r2=0.2)) for name in LOSSES},
}


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def made(name, shape=(1, 16, 16), classes=CLASSES):
    return MODELS[name](shape, classes).to(memory_format=torch.channels_last)


def images(shape=(1, 16, 16), n=24, labels=True):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.randint(0, CLASSES, (n,), generator=generator) if labels else None)


def batch_of(data, size=12, step=0, rank=0, world=1) -> Batch:
    return next(batches(data, size, seed=3, step=step, rank=rank, world=world))


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_gradients_of_the_ranks_sum_to_those_of_one(name, world):
    model_name, objective = OBJECTIVES[name]
    model = made(model_name)
    data = images()
    for turn in objective().phases(model):
        _, whole = gradients_of(turn, model, batch_of(data, size=13, step=2))
        parts = [gradients_of(turn, model, batch_of(data, 13, 2, rank, world))[1] for rank in range(world)]
        for key, gradient in whole.items():
            if gradient is not None:
                torch.testing.assert_close(sum(part[key] for part in parts), gradient, rtol=1e-3, atol=1e-5)
