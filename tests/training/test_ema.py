"""The average of the weights, and the learning rate."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from genlib.training import ema
from genlib.training.config import TrainConfig


def test_the_average_leaves_the_first_weights_behind_and_copies_buffers():
    model = nn.BatchNorm1d(2)
    average = ema.frozen_copy(model)
    with torch.no_grad():
        model.weight.fill_(3.0)
    model.running_mean.fill_(5.0)
    ema.update(average, model, decay=0.999, step=0)
    assert torch.allclose(average.weight, torch.full((2,), 1 + 0.9 * 2))
    assert torch.equal(average.running_mean, model.running_mean)
    ema.update(average, model, decay=0.5, step=10**6)
    assert torch.allclose(average.weight, torch.full((2,), 2.9))


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_schedules_rise_then_never_rise_again(schedule):
    config = TrainConfig(schedule=schedule, warmup_fraction=0.1, decay_start=0.5)
    values = [config.lr_factor(i / 100) for i in range(101)]
    assert values[0] == 0
    assert values[10:51] == pytest.approx([1] * 41)
    assert all(a >= b for a, b in pairwise(values[10:]))
    assert values[-1] == pytest.approx(1 if schedule == "constant" else 0)
