"""The reporting classifier: a small residual network with strided 5x5 convolutions and average pooling.

For reported numbers only: nothing is tuned or filtered with it, and it shares neither architecture nor seed with
`cnn_classifier`. Without labels it predicts the number of quarter turns of a rotated image.
"""

from itertools import pairwise

from torch import nn

from genlib.models.layers.blocks import ResidualBlock, Shape
from genlib.models.layers.classifier import CalibratedClassifier


class ResNetClassifier(CalibratedClassifier):
    activation = nn.SiLU

    def body_layers(self, shape: Shape, channels: list[int]) -> tuple[list[nn.Module], int]:
        layers: list[nn.Module] = []
        for wide, wider in pairwise(channels):
            layers += [nn.Conv2d(wide, wider, 5, stride=2, padding=2), nn.SiLU(), normalised_residual(wider)]
        return [*layers, nn.SiLU(), nn.AdaptiveAvgPool2d(2)], channels[-1] * 4


def normalised_residual(width: int) -> ResidualBlock:
    """x + f(x), f two 3x3 convolutions after group normalisation."""
    first, second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
    return ResidualBlock(nn.GroupNorm(1, width), first, nn.SiLU(), second)


Build = ResNetClassifier
