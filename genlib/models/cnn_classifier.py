"""Judge A: a plain stack of 3x3 convolutions and max-pooling.

It serves early stopping, tuning and resampling; reported numbers come from the other judge, `scorer`. On data without
labels it tells by how many quarter turns an image was rotated.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from genlib.models.layers.blocks import channel_schedule, check_shape, num_downsamples
from genlib.models.layers.classifier import CalibratedClassifier
from genlib.validation import require_at_least


class CNNClassifier(CalibratedClassifier):
    def __init__(self, shape: tuple[int, int, int], classes: int, *, width: int = 32, features: int = 32) -> None:
        require_at_least(1, width=width, features=features)
        check_shape(shape)
        channels = [shape[0], *channel_schedule(width, num_downsamples(shape))]
        layers: list[nn.Module] = []
        for wide, wider in pairwise(channels):
            layers += [nn.Conv2d(wide, wider, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        height, breadth = (side >> num_downsamples(shape) for side in shape[1:])
        flat = channels[-1] * height * breadth
        body = nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, features), nn.LayerNorm(features))
        super().__init__(body, nn.ReLU(), features, classes)


Build = CNNClassifier
