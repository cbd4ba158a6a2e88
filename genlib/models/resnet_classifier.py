"""Judge B: a small residual network with strided 5x5 convolutions and average pooling.

Reported numbers come from it; nothing is tuned, stopped or filtered by it, and it shares neither architecture nor seed
with the other judge, `classifier`. On data without labels it tells by how many quarter turns an image was rotated.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from genlib.models.layers.blocks import channel_schedule, check_shape, num_downsamples
from genlib.models.layers.classifier import CalibratedClassifier
from genlib.validation import require_at_least


class ResidualBlock(nn.Module):
    """x + f(x), f two 3x3 convolutions after group normalisation."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.GroupNorm(1, width),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = x + self.f(x)
        return total


class ResNetClassifier(CalibratedClassifier):
    def __init__(self, shape: tuple[int, int, int], classes: int, *, width: int = 32, features: int = 32) -> None:
        require_at_least(1, width=width, features=features)
        check_shape(shape)
        channels = [shape[0], *channel_schedule(width, num_downsamples(shape))]
        layers: list[nn.Module] = []
        for wide, wider in pairwise(channels):
            layers += [nn.Conv2d(wide, wider, 5, stride=2, padding=2), nn.SiLU(), ResidualBlock(wider)]
        pooled = (nn.SiLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
        body = nn.Sequential(*layers, *pooled, nn.Linear(channels[-1] * 4, features), nn.LayerNorm(features))
        super().__init__(body, nn.SiLU(), features, classes)


Build = ResNetClassifier
