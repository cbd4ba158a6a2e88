"""The contract of every GAN, and the first and last layers of its two networks."""

from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from genlib.models.layers.blocks import DECODERS, ENCODERS, Backbone, Shape
from genlib.models.layers.sampling import sample_from
from genlib.validation import require_one_of

Head = Literal["logit", "softmax"]
Prior = Literal["normal", "uniform"]


class GANBase(nn.Module):
    """`generator(z, [y])` maps codes [n, latent] to images in [-1, 1]. `discriminator(x, [y])` maps `pack` images at a
    time, side by side along the channels, to the logit [n, 1] of being real. With `separate_passes` it sees real and
    generated images in passes of their own."""

    conditional: ClassVar[bool] = False
    separate_passes: ClassVar[bool] = False
    latent: int
    classes: int = 0
    pack: int = 1
    generator: nn.Module
    discriminator: nn.Module

    def decode_image(self, z: Tensor, *y: Tensor) -> Tensor:
        return cast(Tensor, self.generator(z, *y).float())

    def sample(self, n: int, *, seed: int = 0, y: Tensor | None = None) -> Tensor:
        """Images of z ~ N(0, 1) and, for a conditional model, of classes y int64 [n], by default drawn uniformly."""
        return sample_from(self.decode_image, self, self.latent, n, seed, self.classes, y)

    def apply_spectral_norm(self) -> None:
        """Divide each weight of D by its largest singular value, by one power iteration a pass (Miyato et al. 2018)."""
        for layer in list(self.discriminator.modules()):
            if isinstance(layer, nn.Linear | nn.Conv2d | nn.Embedding):
                parametrizations.spectral_norm(layer)


class NormalToUniform(nn.Module):
    """Standard normal z -> 2 Phi(z) - 1, uniform on [-1, 1] by the probability integral transform."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.erf(z / 2**0.5)


class ScoreDifference(nn.Module):
    """Scores [n, 2] of real and of fake -> [n, 1], the logit of real: softmax(a, b) = (sigmoid(a - b), 1 - ...)."""

    def forward(self, scores: Tensor) -> Tensor:
        return scores[:, :1] - scores[:, 1:]


def prior_layers(prior: Prior) -> list[nn.Module]:
    """What the generator applies to its normal noise first."""
    require_one_of(Prior, prior=prior)
    return [NormalToUniform()] if prior == "uniform" else []


def build_decoder(net: Backbone, shape: Shape, latent: int, width: int, max_mult: int) -> nn.Sequential:
    require_one_of(Backbone, net=net)
    return DECODERS[net](shape, latent, width, max_mult)


def build_discriminator(
    net: Backbone, head: Head, shape: Shape, width: int, max_mult: int
) -> tuple[nn.Sequential, nn.Sequential]:
    """D in two: image -> features [n, k], and features -> logit [n, 1]."""
    require_one_of(Head, head=head)
    *features, last = ENCODERS[net](shape, width, 2 if head == "softmax" else 1, max_mult)
    return nn.Sequential(*features), nn.Sequential(last, *([ScoreDifference()] if head == "softmax" else []))
