"""Losses, penalties and players of the GANs against their formulas, and the game against its known solution."""

from __future__ import annotations

import copy
import itertools
import math

import pytest
import torch
from phases import gradients_of
from scipy import stats
from torch import nn
from torch.nn import functional as F

from genlib.data.batches import Batch, batches, seeded_generator
from genlib.data.images import Images
from genlib.models import cgan, gan
from genlib.models.layers.backbones import ENCODERS
from genlib.models.layers.gan import NormalToUniform, ScoreDifference
from genlib.objectives import adversarial
from genlib.objectives.common.gan_losses import LOSSES
from genlib.objectives.common.gradient_penalties import interpolate_images, one_centered_penalty, zero_centered_penalty
from genlib.registry import build
from genlib.training.checkpoints import read_checkpoint
from genlib.training.config import TrainConfig
from genlib.training.loop import train
from genlib.training.state import AdamConfig, TrainState

SHAPE, CLASSES = (1, 16, 16), 10
BLIND = ["wasserstein", "relativistic", "hinge"]  # of differences of logits; the hinge while all lie in its margin
SMALL = {"latent": 3, "width": 4, "width_d": 5}
PLAYERS = {
    "gan": ("gan", {}),
    "softmax gan": ("gan", {"head": "softmax", "prior": "uniform"}),
    "residual gan": ("gan", {"net": "residual"}),
    "mlp gan": ("gan", {"net": "mlp"}),
    "bounded gan": ("gan", {"spectral_norm": True}),
    "packed gan": ("gan", {"pack": 2}),
    "projection": ("cgan", {"condition": "projection"}),
    "concat": ("cgan", {"condition": "concat", "prior": "uniform"}),
    "softmax projection": ("cgan", {"head": "softmax", "net": "residual"}),
    "mlp concat": ("cgan", {"condition": "concat", "net": "mlp"}),
    "bounded projection": ("cgan", {"spectral_norm": True}),
}
OBJECTIVES = {
    **{loss: {"loss": loss} for loss in LOSSES},
    "penalties": {"loss": "relativistic", "r1": 0.3, "r2": 0.2},
    "wgan-gp": {"loss": "wasserstein", "gradient_penalty": 10.0},
    "noise": {"instance_noise": 0.5, "label_smoothing": 0.1},
}
EVERY_PLAYER = pytest.mark.parametrize("players", PLAYERS)
EVERY_OBJECTIVE = pytest.mark.parametrize("objective", OBJECTIVES)


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def made(players, shape=SHAPE):
    name, options = PLAYERS[players]
    torch.manual_seed(0)
    model = build("models", {"name": name, **SMALL, **options}, shape, CLASSES)
    return model.to(memory_format=torch.channels_last)


def images(shape=SHAPE, n=24):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.randint(0, CLASSES, (n,), generator=generator))


def batch_of(data, size=12, step=0, rank=0, world=1) -> Batch:
    return next(batches(data, size, seed=3, step=step, rank=rank, world=world))


def told(model, n):
    """Further inputs of a conditional model's players."""
    return (torch.arange(n) % CLASSES,) if model.conditional else ()


# The losses


REAL, FAKE = torch.tensor([2.0, -0.5]), torch.tensor([0.3, -1.7])


def sigmoid(logit):
    return 1 / (1 + math.exp(-logit))


PAIRS = [(2.0, 0.3), (-0.5, -1.7)]
CROSS_ENTROPY = [-math.log(sigmoid(r)) - math.log(1 - sigmoid(f)) for r, f in PAIRS]
BY_HAND = {
    "minimax": (CROSS_ENTROPY, [math.log(1 - sigmoid(f)) for _, f in PAIRS]),
    "non_saturating": (CROSS_ENTROPY, [-math.log(sigmoid(f)) for _, f in PAIRS]),
    "least_squares": ([(1.0 + 1.69) / 2, (2.25 + 0.49) / 2], [0.49 / 2, 7.29 / 2]),
    "hinge": ([1.3, 1.5], [-0.3, 1.7]),
    "wasserstein": ([-1.7, -1.2], [-0.3, 1.7]),
    "relativistic": (
        [-math.log(sigmoid(r - f)) for r, f in PAIRS],
        [-math.log(sigmoid(f - r)) for r, f in PAIRS],
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_equal_their_formulas(name):
    for player, expected in zip((LOSSES[name].d, LOSSES[name].g), BY_HAND[name], strict=True):
        torch.testing.assert_close(player(REAL, FAKE), torch.tensor(expected))


@pytest.mark.parametrize("name", LOSSES)
def test_the_players_pull_the_fake_logits_apart(name):
    for player, sign in ((LOSSES[name].d, 1), (LOSSES[name].g, -1)):
        fake = torch.zeros(3, requires_grad=True)
        player(torch.zeros(3), fake).sum().backward()
        assert (sign * fake.grad > 0).all()


def test_what_d_gains_in_the_minimax_game_g_loses():
    fake = torch.linspace(-4, 4, 9, requires_grad=True)
    slopes = [torch.autograd.grad(player(fake, fake).sum(), fake)[0] for player in (LOSSES["minimax"].g,)]
    d_on_fake = torch.autograd.grad(LOSSES["minimax"].d(fake.detach(), fake).sum(), fake)[0]
    torch.testing.assert_close(slopes[0], -d_on_fake)


def test_minimax_saturates_where_d_is_sure_and_non_saturating_does_not():
    slopes = {}
    for name in ("minimax", "non_saturating"):
        sure = torch.tensor([-20.0], requires_grad=True)
        slopes[name] = torch.autograd.grad(LOSSES[name].g(sure, sure).sum(), sure)[0].abs().item()
    assert slopes["minimax"] == pytest.approx(sigmoid(-20.0))
    assert slopes["non_saturating"] == pytest.approx(1)


def test_label_smoothing_calls_a_share_of_the_real_fake():
    smooth = adversarial.Build(label_smoothing=0.1).d_loss(REAL, FAKE)
    targets = torch.full_like(REAL, 0.9)
    expected = F.binary_cross_entropy_with_logits(REAL, targets, reduction="none") + F.softplus(FAKE)
    torch.testing.assert_close(smooth, expected)


def test_label_smoothing_has_no_meaning_for_paired_logits():
    with pytest.raises(ValueError, match=r"^label_smoothing must be 0 with the loss relativistic"):
        adversarial.Build(loss="relativistic", label_smoothing=0.1)


# The penalties


class Quadratic(nn.Module):
    """D(x) = (x - centre)^T A (x - centre) / 2, whose gradient is A (x - centre) for a symmetric A."""

    def __init__(self, size: int) -> None:
        super().__init__()
        square = torch.randn(size, size)
        self.a = nn.Parameter(square + square.T)
        self.centre = nn.Parameter(torch.randn(size))

    def forward(self, x):
        off = x.flatten(1) - self.centre
        return ((off @ self.a) * off).sum(1, keepdim=True) / 2


@pytest.mark.parametrize(
    ("penalty", "of_length"),
    [(zero_centered_penalty, lambda g: g.square() / 2), (one_centered_penalty, lambda g: (g - 1).square())],
)
def test_penalties_are_the_closed_forms_of_a_quadratic(penalty, of_length):
    judge = Quadratic(16)
    x = torch.randn(5, 1, 4, 4)
    expected = of_length(((x.flatten(1) - judge.centre) @ judge.a).norm(dim=1))
    torch.testing.assert_close(penalty(judge, x), expected)
    wanted = torch.autograd.grad(expected.sum(), judge.centre)[0]
    torch.testing.assert_close(torch.autograd.grad(penalty(judge, x).sum(), judge.centre)[0], wanted)


@pytest.mark.parametrize("net", ENCODERS)
def test_penalties_equal_finite_differences(net):
    judge = gan.Build((1, 8, 8), 0, net=net, width_d=5).discriminator.double()
    in_double = lambda x: judge(x.double())  # noqa: E731
    x = torch.rand(1, 1, 8, 8, dtype=torch.float64) * 2 - 1
    nudges = 1e-5 * torch.eye(64, dtype=torch.float64).view(64, 1, 8, 8)
    with torch.no_grad():
        slopes = (judge(x + nudges) - judge(x - nudges)) / 2e-5
    squared = slopes.square().sum().item()
    assert zero_centered_penalty(in_double, x).item() == pytest.approx(squared / 2, rel=1e-3)
    assert one_centered_penalty(in_double, x).item() == pytest.approx((squared**0.5 - 1) ** 2, rel=1e-3)


def test_penalties_ignore_autocast():
    judge = made("gan").discriminator
    x = torch.rand(4, *SHAPE) * 2 - 1
    for penalty in (zero_centered_penalty, one_centered_penalty):
        with torch.autocast("cpu", torch.bfloat16):
            rounded = penalty(judge, x)
        torch.testing.assert_close(rounded, penalty(judge, x))


def test_points_between_lie_on_the_line_by_their_share():
    real, fake, share = torch.randn(3, 1, 2, 2), torch.randn(3, 1, 2, 2), torch.tensor([0.0, 0.25, 1.0])
    mixed = interpolate_images(real, fake, share)
    torch.testing.assert_close(mixed[0], fake[0])
    torch.testing.assert_close(mixed[1], 0.25 * real[1] + 0.75 * fake[1])
    torch.testing.assert_close(mixed[2], real[2])


def test_each_penalty_is_taken_where_it_belongs():
    model = made("gan")
    batch = batch_of(images())
    turn, _ = adversarial.Build(r1=0.3, r2=0.2, gradient_penalty=0.7).phases(model)
    terms = turn.step_losses(batch)
    fake, share = model.generator(batch.randn("z_d", model.latent)), batch.rand("between")
    at = {"r1": batch.x, "r2": fake, "gradient_penalty": interpolate_images(batch.x, fake, share)}
    measures = {"r1": zero_centered_penalty, "r2": zero_centered_penalty, "gradient_penalty": one_centered_penalty}
    expected = {name: measures[name](model.discriminator, x) for name, x in at.items()}
    for name, values in expected.items():
        torch.testing.assert_close(terms.logged[name], values)
    total = 0.3 * expected["r1"] + 0.2 * expected["r2"] + 0.7 * expected["gradient_penalty"]
    torch.testing.assert_close(terms.loss, terms.logged["loss_d"] + total)


def test_a_lazy_penalty_counts_for_the_steps_it_skips():
    model = made("gan")
    data = images()
    eager, lazy = (adversarial.Build(r1=0.7, lazy_reg_interval=every).phases(model)[0] for every in (1, 4))
    for step in range(5):
        batch = batch_of(data, step=step)
        always, seldom = eager.step_losses(batch), lazy.step_losses(batch)
        plain = always.logged["loss_d"]
        torch.testing.assert_close(always.loss, plain + 0.7 * always.logged["r1"])
        weight = 0.7 * 4 if step % 4 == 0 else 0.0
        torch.testing.assert_close(seldom.loss, plain + weight * always.logged["r1"])
        assert ("r1" in seldom.logged) == (step % 4 == 0)
        assert "r2" not in always.logged


# The players


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
    with pytest.raises(ValueError, match="shape must have sides of at least 8 pixels, found 7x16"):
        room.Build((1, 7, 16), CLASSES, net=net)


@pytest.mark.parametrize("option", ["net", "prior", "head", "condition"])
def test_an_unknown_choice_is_named(option):
    with pytest.raises(ValueError, match=f"^{option} must be one of .*, found other$"):
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
    with pytest.raises(ValueError, match=f"^{name} must .* found {value}$"):
        room.Build(*(() if room is adversarial else (SHAPE, CLASSES)), **options)


def test_a_conditional_model_needs_labels():
    with pytest.raises(ValueError, match="needs labels, and the data have none"):
        cgan.Build(SHAPE, 0)


def test_a_model_without_players_is_refused():
    with pytest.raises(ValueError, match=r"^objective adversarial: got Linear, expected a model with generator$"):
        adversarial.Build().phases(nn.Linear(2, 2))


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


# The two heads


@pytest.fixture
def heads():
    """Two discriminators in double precision, one logit and two classes, with w = w_real - w_fake in the last layer."""
    one, two = (gan.Build(SHAPE, 0, **SMALL, head=head).discriminator.double() for head in ("logit", "softmax"))
    body = dict(itertools.islice(two.named_children(), len(two) - 2))
    for name, layer in body.items():
        getattr(one, name).load_state_dict(layer.state_dict())
    last, scores = one[-1], two[-2]
    with torch.no_grad():
        last.weight.copy_(scores.weight[:1] - scores.weight[1:])
        last.bias.copy_(scores.bias[:1] - scores.bias[1:])
    return one, two


def test_both_heads_give_the_same_losses_probabilities_and_gradients(heads):
    one, two = heads
    x = (torch.rand(6, *SHAPE, dtype=torch.float64) * 2 - 1).requires_grad_()
    logits = [head(x).flatten() for head in (one, two)]
    torch.testing.assert_close(*logits)
    torch.testing.assert_close(logits[0].sigmoid(), two[:-1](x).softmax(1)[:, 0])
    for loss in LOSSES.values():
        for player in (loss.d, loss.g):
            values = [player(logit[:3], logit[3:]).sum() for logit in logits]
            torch.testing.assert_close(*values)
            torch.testing.assert_close(*(torch.autograd.grad(value, x, retain_graph=True)[0] for value in values))


def test_cross_entropy_on_two_classes_is_the_softplus_of_the_logit():
    scores = torch.randn(50, 2)
    logit = ScoreDifference()(scores).flatten()
    for label, sign in ((0, -1), (1, 1)):
        entropy = F.cross_entropy(scores, torch.full((50,), label), reduction="none")
        torch.testing.assert_close(entropy, F.softplus(sign * logit))


# The turns


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


# Labels


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


# Noise and packs


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
    with pytest.raises(ValueError, match="pack must divide the images of a worker's batch, found 2 and 5"):
        turn.step_losses(batch_of(images(), size=5))


# Spectral normalisation


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
        return TrainState.create(model, turns, {name: AdamConfig(1e-3) for name in ("d", "g")})

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


# The solution of the game


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
    state = TrainState.create(model, (turn,), {"d": AdamConfig(3e-3)})
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
