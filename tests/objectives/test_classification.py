"""Classification: cross-entropy with labels, quarter turns without."""

from __future__ import annotations

import math

import pytest
import torch
from phases import gradients_of
from torch.nn import functional as F

from genlib.data.batches import Batch, batches
from genlib.data.images import Images
from genlib.models import cnn_classifier, gan, resnet_classifier, vae
from genlib.objectives import classification

CLASSES = 10
MODELS = {
    "classifier": lambda shape, classes=CLASSES: cnn_classifier.Build(shape, classes, width=4, features=6),
    "scorer": lambda shape, classes=CLASSES: resnet_classifier.Build(shape, classes, width=4, features=6),
    "vae": lambda shape, classes=CLASSES: vae.Build(shape, classes, latent=3, width=4),
    "gan": lambda shape, classes=CLASSES: gan.Build(shape, classes, latent=3, width=4, width_d=5),
}
JUDGES = ["classifier", "scorer"]


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


def test_mirrored_images_exchange_left_and_right():
    x = torch.randn(3, 2, 8, 9)
    as_it_was, mirrored, too = classification.mirror_images(x, torch.tensor([False, True, True]))
    torch.testing.assert_close(as_it_was, x[0])
    torch.testing.assert_close(torch.stack([mirrored, too]), x[1:].flip(3))


def test_flips_mirror_half_of_the_images_alike_on_every_rank():
    def seen(batch):
        shown = []
        classification.Build(flip=True).step_losses(lambda x: shown.append(x) or torch.zeros(len(x), CLASSES), batch)
        return shown[0]

    data = images(n=200)
    whole, parts = batch_of(data, 200), [batch_of(data, 200, rank=rank, world=2) for rank in range(2)]
    mirrored = (seen(whole) == whole.x.flip(3)).all((1, 2, 3))
    assert 70 < mirrored.sum() < 130
    torch.testing.assert_close(seen(whole), classification.mirror_images(whole.x, mirrored))
    torch.testing.assert_close(seen(whole), torch.cat([seen(part) for part in parts]))


def test_classification_is_cross_entropy():
    model = made("classifier")
    batch = batch_of(images())
    (turn,) = classification.Build(label_smoothing=0.2).phases(model)
    terms = turn.step_losses(batch)
    log_probabilities = model(batch.x).log_softmax(1)
    targets = 0.8 * F.one_hot(batch.y, CLASSES) + 0.2 / CLASSES
    torch.testing.assert_close(terms.loss, -(targets * log_probabilities).sum(1))
    torch.testing.assert_close(terms.logged["accuracy"], (log_probabilities.argmax(1) == batch.y).float())
