"""GANs: networks, priors, heads, spectral normalisation."""

from __future__ import annotations

import copy

import pytest
import torch
from gan_cases import CLASSES, EVERY_PLAYER, SHAPE, SMALL, batch_of, images, made, told
from phases import gradients_of
from scipy import stats
from torch import nn

from genlib.data.images import Images
from genlib.models import cgan, gan
from genlib.models.layers.gan import NormalToUniform
from genlib.objectives import adversarial
from genlib.training.checkpoints import read_checkpoint
from genlib.training.config import TrainConfig
from genlib.training.loop import train
from genlib.training.state import TrainState


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 64, 64), (3, 9, 13)], ids=str)
@EVERY_PLAYER
def test_players_make_images_and_judge_them(players, shape):
    model = made(players, shape)
    x = model.decode_image(torch.randn(4, model.latent), *told(model, 4))
    assert x.shape == (4, *shape)
    assert x.abs().max() <= 1
    logits = model.discriminator(adversarial.pack_images(x, model.pack), *told(model, 4))
    assert logits.shape == (4 // model.pack, 1)
    sample = model.sample(5, seed=1)
    assert (sample.shape, sample.dtype, sample.requires_grad) == ((5, *shape), torch.float32, False)
    torch.testing.assert_close(model.sample(3, seed=1), sample[:3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("players", ["mlp gan", "mlp concat"])
def test_the_plane_is_an_image_of_one_pixel(players):
    model = made(players, (2, 1, 1))
    points = Images(torch.rand(20, 2, 1, 1) * 2 - 1, torch.arange(20) % CLASSES)
    for turn in adversarial.Build(r1=0.1).phases(model):
        terms, _ = gradients_of(turn, model, batch_of(points))
        assert terms.loss.shape == (12,)
    assert model.sample(7).shape == (7, 2, 1, 1)


@pytest.mark.parametrize("net", ["dcgan", "residual"])
@pytest.mark.parametrize("room", [gan, cgan])
def test_convolutions_refuse_images_that_are_too_small(room, net):
    with pytest.raises(ValueError, match="shape: got 7x16 pixels, expected at least 8 a side"):
        room.Build((1, 7, 16), CLASSES, net=net)


@pytest.mark.parametrize("option", ["net", "prior", "head", "condition"])
def test_an_unknown_choice_is_named(option):
    with pytest.raises(ValueError, match=f"^{option}: got other, expected one of "):
        cgan.Build(SHAPE, CLASSES, **{option: "other"})


@pytest.mark.parametrize(
    ("room", "options"),
    [
        (gan, {"pack": 0}),
        (cgan, {"embedding": 0}),
        (adversarial, {"gradient_penalty": -1.0}),
        (adversarial, {"instance_noise": float("nan")}),
        (adversarial, {"noise_anneal_images": 0}),
    ],
)
def test_an_option_out_of_range_is_named_with_what_was_found(room, options):
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"^{name}: got {value}, expected "):
        room.Build(*(() if room is adversarial else (SHAPE, CLASSES)), **options)


def test_the_uniform_prior_is_uniform():
    z = torch.randn(20_000, generator=torch.Generator().manual_seed(5))
    u = NormalToUniform()(z).numpy()
    assert stats.kstest(u, stats.uniform(-1, 2).cdf).pvalue > 0.01
    assert stats.kstest(z.numpy(), stats.uniform(-1, 2).cdf).pvalue < 1e-6
    assert u == pytest.approx(2 * stats.norm.cdf(z.numpy()) - 1, abs=1e-6)


@pytest.mark.parametrize("room", [gan, cgan])
def test_the_prior_is_the_first_thing_g_does_to_its_noise(room):
    torch.manual_seed(0)
    normal = room.Build(SHAPE, CLASSES, **SMALL)
    torch.manual_seed(0)
    uniform = room.Build(SHAPE, CLASSES, **SMALL, prior="uniform")
    z = torch.randn(6, 3)
    given = told(normal, 6)
    torch.testing.assert_close(uniform.decode_image(z, *given), normal.decode_image(NormalToUniform()(z), *given))


def largest_singular_values(network):
    return {
        name: torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
        for name, layer in network.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding)
    }


@pytest.mark.parametrize("players", ["bounded gan", "bounded projection"])
def test_spectral_normalisation_bounds_every_layer_of_d(players):
    model = made(players)
    with torch.no_grad():
        for parameter in model.discriminator.parameters():
            parameter.mul_(3)
    for step in range(60):
        adversarial.Build().phases(model)[0].step_losses(batch_of(images(), step=step))
    values = largest_singular_values(model.discriminator)
    assert len(values) >= 4
    assert list(values.values()) == pytest.approx([1.0] * len(values), rel=0.02)
    assert max(largest_singular_values(made("gan").discriminator).values()) < 0.98


@pytest.mark.parametrize("players", ["bounded gan", "bounded projection"])
def test_a_bounded_model_trains_saves_and_loads(players, tmp_path):
    def start():
        model = made(players)
        turns = adversarial.Build(r1=0.1).phases(model)
        return TrainState.create(model, turns, TrainConfig(lr=1e-3))

    whole, halves = start(), start()
    list(train(whole, images(), TrainConfig(96, 12, precision="float32")))
    list(train(halves, images(), TrainConfig(48, 12, precision="float32")))
    resumed = start()
    resumed.load(read_checkpoint(halves.save(tmp_path)))
    list(train(resumed, images(), TrainConfig(96, 12, precision="float32")))
    for one, other in ((whole.model, resumed.model), (whole.ema, resumed.ema)):
        for key, value in one.state_dict().items():
            torch.testing.assert_close(other.state_dict()[key], value, rtol=0, atol=0, msg=key)
    x = torch.rand(3, *SHAPE)
    twin = copy.deepcopy(whole.ema)
    torch.testing.assert_close(twin.discriminator(x, *told(twin, 3)), whole.ema.discriminator(x, *told(twin, 3)))
