"""A variational autoencoder of p(x|y): the label enters the encoder as a plane, the decoder beside the code.

Sohn, Lee and Yan 2015, "Learning structured output representation using deep conditional generative models"; the prior
of z stays N(0, 1) whatever the label, as in Kingma et al. 2014, "Semi-supervised learning with deep generative models".
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genlib.models.layers.blocks import ConvDecoder, check_shape, conv_encoder, sample_labelled
from genlib.models.layers.latent_variable import (
    DiagonalNormal,
    LatentVariableModel,
    ObservationHead,
    PixelDistribution,
    PixelLikelihood,
    PixelVariance,
)
from genlib.validation import require_at_least


class CVAE(LatentVariableModel):
    """`embedding`: numbers that stand for a label beside the code; the other options are those of `vae`."""

    conditional = True

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        *,
        latent: int = 16,
        width: int = 32,
        embedding: int = 16,
        pixel_likelihood: PixelLikelihood = "gray_bce",
        variance: PixelVariance = "pixel",
    ) -> None:
        require_at_least(1, latent=latent, width=width, embedding=embedding)
        check_shape(shape)
        if not classes:
            raise ValueError("needs labels, and the data have none")
        super().__init__(shape, latent, pixel_likelihood)
        channels, height, breadth = shape
        self.classes = classes
        self.plane = nn.Sequential(nn.Embedding(classes, height * breadth), nn.Unflatten(1, (1, height, breadth)))
        self.encoder = conv_encoder((channels + 1, height, breadth), width, 2 * latent)
        self.label = nn.Embedding(classes, embedding)
        self.emission = ObservationHead(pixel_likelihood, variance)
        self.decoder = ConvDecoder(
            (self.emission.params_per_value * channels, height, breadth), latent + embedding, width
        )

    def encode(self, x: Tensor, y: Tensor | None = None) -> DiagonalNormal:
        return DiagonalNormal.from_moments(self.encoder(torch.cat([x, self.plane(y)], 1)))

    def decode(self, z: Tensor, y: Tensor | None = None) -> PixelDistribution:
        observation: PixelDistribution = self.emission(self.decoder(torch.cat([z, self.label(y)], 1)))
        return observation

    def sample(self, n: int, *, seed: int = 0, y: Tensor | None = None) -> Tensor:
        """Mean images of z ~ N(0, 1) and the classes y int64 [n]; without y, of classes drawn uniformly."""
        return sample_labelled(self.decode_image, self, self.latent, self.classes, n, seed, y)


Build = CVAE
