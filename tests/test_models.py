"""Properties every model and objective must have, over the whole family, several image shapes and both players."""

from __future__ import annotations

import math

import pytest
import torch
from phases import gradients_of
from torch import nn
from torch.nn import functional as F

from genlib.data.batches import Batch, batches
from genlib.data.images import Images
from genlib.models import cnn_classifier as classifier
from genlib.models import gan, vae
from genlib.models import resnet_classifier as scorer
from genlib.objectives import adversarial, classification, elbo

SHAPES = [(1, 8, 8), (1, 16, 16), (1, 28, 28), (3, 32, 32), (1, 64, 64), (1, 9, 13)]
CLASSES = 10
MODELS = {
    "classifier": lambda shape, classes=CLASSES: classifier.Build(shape, classes, width=4, features=6),
    "scorer": lambda shape, classes=CLASSES: scorer.Build(shape, classes, width=4, features=6),
    "vae": lambda shape, classes=CLASSES: vae.Build(shape, classes, latent=3, width=4),
    "gan": lambda shape, classes=CLASSES: gan.Build(shape, classes, latent=3, width=4, width_d=5),
}
JUDGES = ["classifier", "scorer"]
SAMPLERS = ["vae", "gan"]
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


@pytest.mark.parametrize("name", MODELS)
def test_looks_at_one_example_at_a_time(name):
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in made(name).modules())


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


def test_the_default_judges_have_at_most_32_features():
    for room in (classifier, scorer):
        assert room.Build((1, 16, 16), CLASSES).features(torch.zeros(1, 1, 16, 16)).shape[1] <= 32


@pytest.mark.parametrize(
    ("room", "options"),
    [
        (classifier, {"width": 0}),
        (classifier, {"features": 0}),
        (scorer, {"width": -1}),
        (scorer, {"features": 0}),
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
    with pytest.raises(ValueError, match=f"^{name} must .* found {value}$"):
        room.Build(*shape, **options)


@pytest.mark.parametrize("name", MODELS)
def test_images_that_are_too_small_are_refused(name):
    with pytest.raises(ValueError, match="shape must have sides of at least 8 pixels, found 7x16"):
        made(name, (1, 7, 16))


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


@pytest.mark.parametrize("name", JUDGES)
def test_without_labels_judges_tell_quarter_turns(name):
    model = made(name, classes=0)
    (turn,) = classification.Build().phases(model)
    terms, _ = gradients_of(turn, model, batch_of(images(labels=False)))
    assert terms.loss.mean().item() == pytest.approx(math.log(4), rel=0.3)


def test_rotation_turns_each_image_by_its_own_angle():
    x = torch.randn(6, 2, 8, 8)
    quarters = torch.tensor([0, 1, 2, 3, 1, 0])
    for image, k, turned in zip(x, quarters.tolist(), classification.rotate_quarters(x, quarters), strict=True):
        torch.testing.assert_close(turned, torch.rot90(image, k, (1, 2)))


def test_shifts_move_each_image_by_its_own_offset():
    x = torch.randn(3, 2, 8, 9)
    still, down, left = classification.shift_images(x, torch.tensor([[2, 2], [0, 2], [2, 4]]), 2)
    torch.testing.assert_close(still, x[0])
    torch.testing.assert_close(down[:, 2:], x[1][:, :-2])
    torch.testing.assert_close(left[:, :, :-2], x[2][:, :, 2:])
    torch.testing.assert_close(left[:, :, -1], x[2][:, :, -1])


def test_classification_is_cross_entropy():
    model = made("classifier")
    batch = batch_of(images())
    (turn,) = classification.Build(label_smoothing=0.2).phases(model)
    terms = turn.step_losses(batch)
    log_probabilities = model(batch.x).log_softmax(1)
    targets = 0.8 * F.one_hot(batch.y, CLASSES) + 0.2 / CLASSES
    torch.testing.assert_close(terms.loss, -(targets * log_probabilities).sum(1))
    torch.testing.assert_close(terms.logged["accuracy"], (log_probabilities.argmax(1) == batch.y).float())


def test_the_elbo_weighs_its_parts_and_warms_up():
    model = made("vae")
    data = images()
    for step, weight in [(0, 0.0), (1, 1.5), (2, 3.0), (5, 3.0)]:
        (turn,) = elbo.Build(beta=3.0, warm_up=24).phases(model)
        terms = turn.step_losses(batch_of(data, step=step))
        torch.testing.assert_close(terms.loss, terms.logged["reconstruction"] + weight * terms.logged["kl"])
