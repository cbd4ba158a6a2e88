"""GAN losses against their formulas."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from gan_cases import FAKE, REAL, SHAPE, SMALL, sigmoid
from torch.nn import functional as F

from genlib.models import gan
from genlib.models.layers.gan import ScoreDifference
from genlib.objectives import adversarial
from genlib.objectives.common.gan_losses import LOSSES


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


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
    with pytest.raises(ValueError, match=r"^label_smoothing: got 0.1, expected 0 with the loss relativistic"):
        adversarial.Build(loss="relativistic", label_smoothing=0.1)


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
