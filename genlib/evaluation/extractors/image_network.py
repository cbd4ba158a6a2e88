"""Networks of resized, normalised colour images, trained elsewhere."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genlib.evaluation.extractors.resizing import Resize

CHUNK = 32  # images per forward pass: the networks see larger images than the data have
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ImageNetwork(nn.Module):
    """features(x) = body((resize(u) - mean) / std) [n, d], where u in [0, 1] are the images x in [-1, 1], grey ones in
    three channels; logits = head(features), of what the network was trained on."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, body: nn.Module, head: nn.Module, resize: Resize, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.body, self.head, self.resize = body, head, resize
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def features(self, x: Tensor) -> Tensor:
        return torch.cat([self.body(self.normalise(some)) for some in torch.split(x, CHUNK)])

    def normalise(self, x: Tensor) -> Tensor:
        resized: Tensor = self.resize((x + 1) / 2)
        return (resized.expand(-1, 3, -1, -1) - self.mean) / self.std

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(x))
        return logits


class NoClasses(nn.Module):
    """The head of a network without classes: one, of probability 1."""

    def forward(self, features: Tensor) -> Tensor:
        return features.new_zeros(len(features), 1)
