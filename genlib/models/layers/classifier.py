"""The base of both classifiers: features, logits of them, and calibrated probabilities. Logits are divided by one
temperature, fitted on images held out of training: Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern
neural networks". One T for all classes, so no image changes its most probable class."""

from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn

from genlib.data.images import Images, to_float
from genlib.models.layers.blocks import Shape, channel_schedule, num_downsamples
from genlib.models.layers.sampling import map_in_chunks
from genlib.validation import require_at_least

Features = int | Literal["pooled"]  # their number, or the channels of the last map
MAX_TEMPERATURE = 100.0  # 1 / MAX_TEMPERATURE <= T <= MAX_TEMPERATURE
BISECTION_STEPS = 50


class Temperature(nn.Module):
    """logits / T; T is 1 until it is fitted."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Buffer(torch.ones(()))

    def forward(self, logits: Tensor) -> Tensor:
        return logits / self.value


class CalibratedClassifier(nn.Module):
    """`body`: image -> features; `head`: features -> logits, calibrated since it ends in the temperature.

    Features are a linear map of the last feature map, places included, which digits need. With `features: pooled`
    they are that map's averages over all places, of which only the direction counts. It is that of textures, which blur
    turns: right for photographs."""

    activation: ClassVar[type[nn.Module]]

    def __init__(self, shape: Shape, classes: int, *, width: int = 32, features: Features = 32) -> None:
        require_at_least(1, width=width)
        super().__init__()
        channels = [shape[0], *channel_schedule(width, num_downsamples(shape))]
        layers, num_values = self.body_layers(shape, channels)
        if isinstance(features, int):
            require_at_least(1, features=features)
            layers += [nn.Flatten(), nn.Linear(num_values, features), nn.LayerNorm(features)]
        else:
            features = channels[-1]
            layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.RMSNorm(features, elementwise_affine=False)]
        self.body = nn.Sequential(*layers)
        self.head = nn.Sequential(self.activation(), nn.Linear(features, classes or 4), Temperature())

    def body_layers(self, shape: Shape, channels: list[int]) -> tuple[list[nn.Module], int]:
        """Convolutions that halve the sides from each of `channels` to the next, and the size of their output."""
        raise NotImplementedError

    @property
    def temperature(self) -> Temperature:
        return cast(Temperature, self.head[-1])

    def features(self, x: Tensor) -> Tensor:
        """[n, features], before the last nonlinearity; of mean 0 and variance 1 over each image's features, or of mean
        square 1 with `features: pooled`."""
        return cast(Tensor, self.body(x))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, classes], or [n, 4] of the quarter turns where there are no classes."""
        return cast(Tensor, self.head(self.features(x)))

    @torch.no_grad()
    def on_fit_end(self, train: Images, valid: Images) -> None:
        """Fit the temperature to `valid`; without labels it stays 1."""
        self.temperature.value.fill_(1)
        if valid.labels is not None:
            logits = map_in_chunks(lambda pixels: self(to_float(pixels)), valid.pixels)
            self.temperature.value.copy_(fit_temperature(logits, valid.labels))


def fit_temperature(logits: Tensor, labels: Tensor) -> Tensor:
    """The T [] of least mean -log softmax(logits / T)[label], or 1 where every label is the most probable class and so
    no T is the least. Bisection of log 1 / T finds the root of the slope E[sum_k p_k l_k - l_label], which rises."""
    logits = logits.double()
    label_logits = logits.gather(1, labels[:, None]).squeeze(1)
    low, high = (logits.new_tensor(limit).log() for limit in (1 / MAX_TEMPERATURE, MAX_TEMPERATURE))
    for _ in range(BISECTION_STEPS):
        middle = (low + high) / 2
        is_rising = ((middle.exp() * logits).softmax(1) * logits).sum(1).mean() > label_logits.mean()
        low, high = torch.where(is_rising, low, middle), torch.where(is_rising, middle, high)
    is_separable = (label_logits == logits.amax(1)).all()
    return torch.where(is_separable, torch.ones_like(low), (-(low + high) / 2).exp())
