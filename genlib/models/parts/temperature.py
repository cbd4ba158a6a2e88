"""Probabilities that mean what they say: logits divided by one temperature, fitted on images held out of training.

Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural networks". One T for all classes, so no image
changes its most probable class.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genlib.data.images import Images, to_float

CHUNK = 500
LIMIT = 100.0  # 1 / LIMIT <= T <= LIMIT
HALVINGS = 50


class Temperature(nn.Module):
    """logits / T; T is 1 until `calibrate`."""

    value: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("value", torch.ones(()))

    def forward(self, logits: Tensor) -> Tensor:
        return logits / self.value


@torch.no_grad()
def calibrate(judge: nn.Module, temperature: Temperature, valid: Images) -> None:
    """Set the `temperature` that ends `judge` to the best on `valid`; without labels it stays 1."""
    temperature.value.fill_(1)
    if valid.labels is not None:
        logits = torch.cat([judge(to_float(pixels)) for pixels in torch.split(valid.pixels, CHUNK)])
        temperature.value.copy_(best_temperature(logits, valid.labels))


def best_temperature(logits: Tensor, labels: Tensor) -> Tensor:
    """The T [] of least mean -log softmax(logits / T)[label]; 1 where every label is the most probable class, since the
    smaller T the better then.

    The mean is convex in b = 1 / T, with the slope E[sum_k p_k l_k - l_label]; its root is found by bisection of log b.
    """
    logits = logits.double()
    own = logits.gather(1, labels[:, None]).squeeze(1)
    low, high = (logits.new_tensor(limit).log() for limit in (1 / LIMIT, LIMIT))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        rising = ((middle.exp() * logits).softmax(1) * logits).sum(1).mean() > own.mean()
        low, high = torch.where(rising, low, middle), torch.where(rising, middle, high)
    separable = (own == logits.amax(1)).all()
    return torch.where(separable, torch.ones_like(low), (-(low + high) / 2).exp())
