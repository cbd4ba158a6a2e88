"""The conditional GAN: both networks use the class."""

from __future__ import annotations

import pytest
import torch
from gan_cases import SHAPE, batch_of, images, made

from genlib.data.random import seeded_generator
from genlib.objectives import adversarial


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("players", ["projection", "concat", "mlp concat"])
def test_both_players_use_the_class(players):
    model = made(players)
    z, x = torch.randn(1, 3).expand(4, -1), (torch.rand(1, *SHAPE) * 2 - 1).expand(4, -1, -1, -1)
    y = torch.tensor([0, 0, 1, 2])
    for told_apart in (model.decode_image(z, y).flatten(1), model.discriminator(x, y)):
        torch.testing.assert_close(told_apart[0], told_apart[1])
        assert (told_apart[1] - told_apart[2]).abs().max() > 1e-4
        assert (told_apart[2] - told_apart[3]).abs().max() > 1e-4


def test_projection_adds_the_inner_product_of_class_and_features():
    judge = made("projection").discriminator
    x, y = torch.rand(5, *SHAPE), torch.tensor([3, 1, 4, 1, 5])
    features = judge.features(x)
    expected = judge.score(features).flatten() + (judge.classes.weight[y] * features).sum(1)
    torch.testing.assert_close(judge(x, y).flatten(), expected)


@pytest.mark.parametrize("players", ["projection", "concat"])
def test_d_sees_real_and_fake_with_the_labels_of_the_batch(players):
    model = made(players)
    batch = batch_of(images())
    watch = adversarial.Build().phases(model)[0].step_losses(batch).logged
    fake = model.generator(batch.randn("z_d", model.latent), batch.y)
    gap = model.discriminator(batch.x, batch.y) - model.discriminator(fake, batch.y)
    torch.testing.assert_close(watch["logit_gap"], gap.flatten().detach())


def test_a_sample_is_of_the_classes_that_were_asked():
    model = made("projection")
    y = torch.tensor([7, 0, 7])
    z = torch.randn(500, 3, generator=seeded_generator(2, "sample"))[:3]
    torch.testing.assert_close(model.sample(3, seed=2, y=y), model.decode_image(z, y).detach())
    assert not torch.equal(model.sample(3, seed=2, y=y), model.sample(3, seed=2, y=1 - y.clamp(max=1)))
