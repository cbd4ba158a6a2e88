"""The exponential moving average of a model's weights: what is sampled, evaluated and saved."""

import copy

import torch
from torch import nn


def frozen_copy(model: nn.Module) -> nn.Module:
    return copy.deepcopy(model).requires_grad_(False).eval()


@torch.no_grad()
def update(ema: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """ema <- d ema + (1 - d) w, buffers copied; d = min(decay, (1 + step) / (10 + step)) rises, which keeps the first,
    random weights out of the average (Polyak averaging with warm-up)."""
    d = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(ema.parameters()), list(model.parameters()), 1 - d)
    for old, new in zip(ema.buffers(), model.buffers(), strict=True):
        old.copy_(new)
