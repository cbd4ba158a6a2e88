"""What the players of every GAN share: their first and last layers, and what an objective may expect of them."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from genlib.models.layers.backbones import ENCODERS, Backbone, Shape

Head = Literal["logit", "softmax"]
Prior = Literal["normal", "uniform"]


class GANBase(nn.Module):
    """`generator(z, [y])` makes images in [-1, 1] of codes [n, latent].

    `discriminator(x, [y])` gives the logit [n, 1] of being real to `pack` images at a time, side by side along the
    channels. Where it is `separate` it is shown real and generated images in passes of their own.
    """

    conditional: ClassVar[bool] = False
    separate_passes: ClassVar[bool] = False
    latent: int
    pack: int = 1
    generator: nn.Module
    discriminator: nn.Module


class NormalToUniform(nn.Module):
    """Standard normal z -> 2 Phi(z) - 1, uniform on [-1, 1] by the probability integral transform."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.erf(z / 2**0.5)


class ScoreDifference(nn.Module):
    """Scores [n, 2] of real and of fake -> [n, 1], the logit of real: softmax(a, b) = (sigmoid(a - b), 1 - ...)."""

    def forward(self, scores: Tensor) -> Tensor:
        return scores[:, :1] - scores[:, 1:]


def prior_layers(prior: Prior) -> list[nn.Module]:
    """What G does to its normal noise."""
    return [NormalToUniform()] if prior == "uniform" else []


def build_discriminator(net: Backbone, head: Head, shape: Shape, width: int) -> tuple[nn.Sequential, nn.Sequential]:
    """D in two: image -> features [n, k], and features -> logit [n, 1]."""
    *features, last = ENCODERS[net](shape, width, 2 if head == "softmax" else 1)
    return nn.Sequential(*features), nn.Sequential(last, *([ScoreDifference()] if head == "softmax" else []))


def apply_spectral_norm(network: nn.Module) -> None:
    """Divide the weight of each linear map by its largest singular value, as one power iteration a pass follows it.

    Miyato et al. 2018, "Spectral normalization for generative adversarial networks".
    """
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
            parametrizations.spectral_norm(layer)
