"""Gradient penalties against closed forms and finite differences."""

from __future__ import annotations

import pytest
import torch
from gan_cases import SHAPE, batch_of, images, made
from torch import nn

from genlib.models import gan
from genlib.models.layers.blocks import ENCODERS
from genlib.objectives import adversarial
from genlib.objectives.adversarial import interpolate_images, one_centered_penalty, zero_centered_penalty


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


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
