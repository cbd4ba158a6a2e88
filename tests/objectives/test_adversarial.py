"""The phases of D and G, instance noise and packs, and the game against its known solution."""

from __future__ import annotations

import pytest
import torch
from gan_cases import EVERY_OBJECTIVE, EVERY_PLAYER, OBJECTIVES, SHAPE, batch_of, images, made
from phases import gradients_of
from scipy import stats
from torch import nn

from genlib.data.images import Images
from genlib.models import cgan, gan
from genlib.models.layers.gan import ScoreDifference
from genlib.objectives import adversarial
from genlib.objectives.adversarial import zero_centered_penalty
from genlib.objectives.common.gan_losses import LOSSES
from genlib.training.config import TrainConfig
from genlib.training.loop import train
from genlib.training.state import TrainState

BLIND = ["wasserstein", "relativistic", "hinge"]  # of differences of logits; the hinge while all lie in its margin


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def test_a_conditional_model_needs_labels():
    with pytest.raises(ValueError, match="needs labels, and the data have none"):
        cgan.Build(SHAPE, 0)


def test_a_model_without_players_is_refused():
    with pytest.raises(ValueError, match=r"^objective adversarial: got Linear, expected a model with generator$"):
        adversarial.Build().phases(nn.Linear(2, 2))


def last_biases(model):
    """The biases that shift every logit alike."""
    score = model.discriminator if isinstance(model.discriminator, nn.Sequential) else None
    score = score or getattr(model.discriminator, "score", None) or model.discriminator.net
    linear = score[-2] if isinstance(score[-1], ScoreDifference) else score[-1]
    return {name for name, parameter in model.named_parameters() if parameter is linear.bias}


@EVERY_OBJECTIVE
@EVERY_PLAYER
def test_each_turn_moves_every_parameter_of_its_player_and_no_other(players, objective):
    model = made(players)
    batch = batch_of(images(), size=24)
    options = OBJECTIVES[objective]
    # a loss of differences of logits knows nothing of a shift of all
    # a loss of differences does not feel that all logits shift
    still = last_biases(model) if options.get("loss") in BLIND else set()
    for turn in adversarial.Build(**options).phases(model):
        terms, gradients = gradients_of(turn, model, batch)
        own = {id(parameter) for parameter in turn.module.parameters()}
        assert terms.loss.shape == (24,)
        assert all(values.shape == (24,) and not values.requires_grad for values in terms.logged.values())
        for key, parameter in model.named_parameters():
            gradient = gradients[key]
            if id(parameter) not in own:
                assert gradient is None, f"{turn.name} reaches {key}"
            elif key in still:
                assert gradient.abs().max() < 1e-6
            else:
                assert gradient is not None, f"{turn.name} does not reach {key}"
                assert gradient.isfinite().all()
                assert gradient.count_nonzero() > 0, f"{turn.name} leaves {key} alone"


@EVERY_PLAYER
def test_the_gradients_of_two_ranks_sum_to_those_of_one(players):
    data = images()
    options = {"r1": 0.3, "gradient_penalty": 0.5, "instance_noise": 0.4, "label_smoothing": 0.1}
    for which in range(2):
        found = []
        for rank, world in ((0, 1), (0, 2), (1, 2)):
            model = made(players)
            turn = adversarial.Build(**options).phases(model)[which]
            found.append(gradients_of(turn, model, batch_of(data, 12, 2, rank, world))[1])
        for key, whole in found[0].items():
            if whole is not None:
                torch.testing.assert_close(found[1][key] + found[2][key], whole, rtol=1e-3, atol=1e-5)


@EVERY_PLAYER
def test_bfloat16_stays_near_float32(players):
    batch = batch_of(images())
    for which in range(2):
        exact = adversarial.Build(r1=0.3).phases(made(players))[which].step_losses(batch)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = adversarial.Build(r1=0.3).phases(made(players))[which].step_losses(batch)
        assert rounded.loss.dtype == torch.float32
        torch.testing.assert_close(rounded.loss, exact.loss, rtol=0.05, atol=0.05)


def test_what_the_discriminator_says_is_watched():
    model = made("gan")
    batch = batch_of(images())
    turn_d, _ = adversarial.Build().phases(model)
    watch = turn_d.step_losses(batch).logged
    fake = model.generator(batch.randn("z_d", model.latent))
    real_logits, fake_logits = (model.discriminator(x).flatten() for x in (batch.x, fake))
    torch.testing.assert_close(watch["d_real"], (real_logits > 0).float())
    torch.testing.assert_close(watch["d_fake"], (fake_logits < 0).float())
    torch.testing.assert_close(watch["logit_gap"], (real_logits - fake_logits).detach())


def test_turns_are_named_and_timed():
    turn_d, turn_g = adversarial.Build(d_steps_per_g_step=3).phases(made("gan"))
    assert [(turn_d.name, turn_d.interval), (turn_g.name, turn_g.interval)] == [("d", 1), ("g", 3)]


def test_the_noise_on_what_d_sees_falls_to_nothing():
    objective = adversarial.Build(instance_noise=0.5, noise_anneal_images=48)
    assert [objective.noise_std(seen) for seen in (0, 12, 24, 48, 96)] == [0.5, 0.375, 0.25, 0, 0]
    model = made("gan")
    data = Images(torch.full((12, *SHAPE), 128, dtype=torch.uint8))
    for step, deviation in ((0, 0.5), (2, 0.25), (4, 0.0)):
        batch = batch_of(data, step=step)
        noise = objective.discriminator_input(model, batch, batch.x, "real_d") - batch.x
        assert noise.std().item() == pytest.approx(deviation, rel=0.05)
        again = objective.discriminator_input(model, batch, batch.x, "fake_d") - batch.x
        assert deviation == 0 or (noise - again).std().item() == pytest.approx(deviation * 2**0.5, rel=0.05)


def test_noise_is_on_real_and_fake():
    batch = batch_of(images())
    model = made("gan")
    seen = []
    model.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    turn_d, turn_g = adversarial.Build(instance_noise=0.5, loss="relativistic").phases(model)
    turn_d.step_losses(batch)
    turn_g.step_losses(batch)
    made_d, made_g = (model.generator(batch.randn(name, model.latent)) for name in ("z_d", "z_g"))
    for shown, clean in zip([*seen[0].chunk(2), *seen[1:]], [batch.x, made_d, made_g, batch.x], strict=True):
        assert (shown - clean).std().item() == pytest.approx(0.5, rel=0.05)


def test_packs_are_consecutive_images_side_by_side():
    x = torch.arange(6.0).view(6, 1, 1, 1).expand(6, 2, 3, 3)
    packs = adversarial.pack_images(x, 3)
    assert packs.shape == (2, 6, 3, 3)
    assert packs[:, :, 0, 0].tolist() == [[0, 0, 1, 1, 2, 2], [3, 3, 4, 4, 5, 5]]


def test_the_loss_of_packs_is_their_mean():
    model = made("packed gan")
    batch = batch_of(images())
    turn, _ = adversarial.Build(r1=0.5).phases(model)
    terms = turn.step_losses(batch)
    real, fake = (adversarial.pack_images(x, 2) for x in (batch.x, model.generator(batch.randn("z_d", model.latent))))
    logits = [model.discriminator(x).flatten() for x in (real, fake)]
    expected = LOSSES["non_saturating"].d(*logits) + 0.5 * zero_centered_penalty(model.discriminator, real)
    assert len(expected) == 6
    torch.testing.assert_close(terms.loss.sum() / batch.global_size, expected.mean())
    torch.testing.assert_close(terms.loss[::2], expected)


def test_a_batch_that_packs_do_not_fill_is_refused():
    turn, _ = adversarial.Build().phases(made("packed gan"))
    with pytest.raises(ValueError, match="pack: got 2, expected a divisor of the 5 images"):
        turn.step_losses(batch_of(images(), size=5))


def test_the_best_d_is_the_share_of_the_real_density():
    """D* = p_data / (p_data + p_g) (Goodfellow et al. 2014), for N(-0.3, 0.3^2) against N(0.3, 0.4^2)."""
    data, fake = stats.norm(-0.3, 0.3), stats.norm(0.3, 0.4)

    class Fixed(nn.Module):
        def forward(self, z):
            return (0.3 + 0.4 * z)[:, :, None, None]

    model = gan.Build((1, 1, 1), 0, latent=1, net="mlp", width_d=32)
    model.generator = Fixed()
    points = torch.from_numpy(data.ppf((torch.arange(20_000) + 0.5).numpy() / 20_000)).float().view(-1, 1, 1, 1)
    turn, _ = adversarial.Build(loss="minimax").phases(model)
    state = TrainState.create(model, (turn,), TrainConfig(lr=3e-3))
    config = TrainConfig(800 * 1000, 1000, schedule="linear", ema=0.99, precision="float32")
    list(train(state, Images(points), config))
    grid = torch.linspace(-1, 1, 81)
    found = state.ema.discriminator(grid.view(-1, 1, 1, 1)).sigmoid().flatten()
    expected = torch.from_numpy(data.pdf(grid.numpy()) / (data.pdf(grid.numpy()) + fake.pdf(grid.numpy()))).float()
    assert (found - expected).abs().max() < 0.05
    entropy = state.history[-1]["loss_d"]
    assert entropy == pytest.approx(cross_entropy_at_the_optimum(data, fake), abs=0.05)


def cross_entropy_at_the_optimum(data, fake):
    """log 4 - 2 JS(p_data, p_g), by the trapezoidal rule."""
    x = torch.linspace(-3, 3, 20_001, dtype=torch.float64)
    p, q = (torch.from_numpy(density.pdf(x.numpy())) for density in (data, fake))
    return -torch.trapezoid(p * (p / (p + q)).log() + q * (q / (p + q)).log(), x).item()
