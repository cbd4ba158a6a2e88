"""The tuning classifier, a plain stack of 3x3 convolutions; reported numbers come from `resnet_classifier`."""

from itertools import pairwise

from torch import nn

from genlib.models.layers.blocks import Shape
from genlib.models.layers.classifier import CalibratedClassifier


class CNNClassifier(CalibratedClassifier):
    activation = nn.ReLU

    def body_layers(self, shape: Shape, channels: list[int]) -> tuple[list[nn.Module], int]:
        layers: list[nn.Module] = []
        for wide, wider in pairwise(channels):
            layers += [nn.Conv2d(wide, wider, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        height, breadth = (side >> (len(channels) - 1) for side in shape[1:])
        return layers, channels[-1] * height * breadth


Build = CNNClassifier
