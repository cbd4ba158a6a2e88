"""What the two judges share: features, logits of them, and probabilities that mean what they say.

Logits are divided by one temperature, fitted on images held out of training: Guo, Pleiss, Sun and Weinberger 2017, "On
calibration of modern neural networks". One T for all classes, so no image changes its most probable class.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from genlib.data.images import Images, to_float

CHUNK_SIZE = 500
MAX_TEMPERATURE = 100.0  # 1 / LIMIT <= T <= LIMIT
BISECTION_STEPS = 50


class Temperature(nn.Module):
    """logits / T; T is 1 until it is fitted."""

    value: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("value", torch.ones(()))

    def forward(self, logits: Tensor) -> Tensor:
        return logits / self.value


class CalibratedClassifier(nn.Module):
    """`body` gives features and ends in a layer norm; `head` gives logits of them and ends in the temperature, so that
    whatever reads logits or head(features) is calibrated."""

    def __init__(self, body: nn.Module, activation: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Sequential(activation, nn.Linear(features, classes or 4), Temperature())

    @property
    def temperature(self) -> Temperature:
        return cast(Temperature, self.head[-1])

    def features(self, x: Tensor) -> Tensor:
        """[n, features], of mean 0 and variance 1 over each image's features, before the last nonlinearity."""
        features: Tensor = self.body(x)
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, classes], or [n, 4] of the quarter turns where there are no classes."""
        logits: Tensor = self.head(self.features(x))
        return logits

    @torch.no_grad()
    def on_fit_end(self, train: Images, valid: Images) -> None:
        """Fit the temperature to `valid`; without labels it stays 1."""
        self.temperature.value.fill_(1)
        if valid.labels is not None:
            logits = torch.cat([self(to_float(pixels)) for pixels in torch.split(valid.pixels, CHUNK_SIZE)])
            self.temperature.value.copy_(fit_temperature(logits, valid.labels))


def fit_temperature(logits: Tensor, labels: Tensor) -> Tensor:
    """The T [] of least mean -log softmax(logits / T)[label]; 1 where every label is the most probable class, since the
    smaller T the better then.

    The mean is convex in b = 1 / T, with the slope E[sum_k p_k l_k - l_label]; its root is found by bisection of log b.
    """
    logits = logits.double()
    own = logits.gather(1, labels[:, None]).squeeze(1)
    low, high = (logits.new_tensor(limit).log() for limit in (1 / MAX_TEMPERATURE, MAX_TEMPERATURE))
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2
        rising = ((middle.exp() * logits).softmax(1) * logits).sum(1).mean() > own.mean()
        low, high = torch.where(rising, low, middle), torch.where(rising, middle, high)
    separable = (own == logits.amax(1)).all()
    return torch.where(separable, torch.ones_like(low), (-(low + high) / 2).exp())
