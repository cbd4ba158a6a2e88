"""The reporting classifier: a small residual network with strided 5x5 convolutions and average pooling. Nothing is
tuned or filtered with it, and it shares neither architecture nor seed with `cnn_classifier`."""

from itertools import pairwise

from torch import nn

from genlib.models.layers.blocks import ResidualBlock, Shape
from genlib.models.layers.classifier import CalibratedClassifier


class ResNetClassifier(CalibratedClassifier):
    activation = nn.SiLU

    def body_layers(self, shape: Shape, channels: list[int]) -> tuple[list[nn.Module], int]:
        layers: list[nn.Module] = []
        for wide, wider in pairwise(channels):
            halve = nn.Conv2d(wide, wider, 5, stride=2, padding=2)
            first, second = (nn.Conv2d(wider, wider, 3, padding=1) for _ in range(2))
            layers += [halve, nn.SiLU(), ResidualBlock(nn.GroupNorm(1, wider), first, nn.SiLU(), second)]
        return [*layers, nn.SiLU(), nn.AdaptiveAvgPool2d(2)], channels[-1] * 4


Build = ResNetClassifier
