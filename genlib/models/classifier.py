"""Judge A: a plain stack of 3x3 convolutions and max-pooling.

It serves early stopping, tuning and resampling; reported numbers come from the other judge, `scorer`. On data without
labels it tells by how many quarter turns an image was rotated.
"""

from __future__ import annotations

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from genlib.data.images import Images
from genlib.models.parts.layers import check_shape, halvings, widths
from genlib.models.parts.temperature import Temperature, calibrate
from genlib.options import at_least


class Classifier(nn.Module):
    def __init__(self, shape: tuple[int, int, int], classes: int, *, width: int = 32, features: int = 32) -> None:
        at_least(1, width=width, features=features)
        check_shape(shape)
        super().__init__()
        channels = [shape[0], *widths(width, halvings(shape))]
        layers: list[nn.Module] = []
        for wide, wider in pairwise(channels):
            layers += [nn.Conv2d(wide, wider, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        height, breadth = (side >> halvings(shape) for side in shape[1:])
        flat = channels[-1] * height * breadth
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, features), nn.LayerNorm(features))
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(features, classes or 4), Temperature())

    def features(self, x: Tensor) -> Tensor:
        """[n, features], of mean 0 and variance 1 over each image's features, before the rectifier."""
        features: Tensor = self.body(x)
        return features

    def forward(self, x: Tensor) -> Tensor:
        """Logits [n, classes], or [n, 4] of the quarter turns where there are no classes."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def conclude(self, train: Images, valid: Images) -> None:
        """Calibrate the probabilities on `valid`; without labels they stay as they are."""
        calibrate(self, self.temperature, valid)

    @property
    def temperature(self) -> Temperature:
        """The last layer of the head, so that whatever reads logits or head(features) is calibrated."""
        return cast(Temperature, self.head[-1])


Build = Classifier
