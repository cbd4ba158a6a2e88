"""A variational autoencoder of p(x|y): the label enters the encoder as a plane, the decoder beside the code (Sohn, Lee
and Yan 2015). The prior of z is N(0, 1) for each label, as in Kingma et al. 2014, "Semi-supervised learning"."""

import torch
from torch import Tensor, nn

from genlib.models.layers.blocks import Shape, conv_decoder, conv_encoder
from genlib.models.layers.diagonal_normal import DiagonalNormal
from genlib.models.layers.latent_variable import LatentVariableModel
from genlib.models.layers.pixel_likelihood import MeanOutput, PixelDistribution, PixelLikelihood, PixelVariance
from genlib.validation import require_at_least


class CVAE(LatentVariableModel):
    """`embedding`: numbers that stand for a label beside the code; the other options are those of `vae`."""

    conditional = True

    def __init__(
        self,
        shape: Shape,
        classes: int,
        *,
        latent: int = 16,
        width: int = 32,
        embedding: int = 16,
        pixel_likelihood: PixelLikelihood = "auto",
        variance: PixelVariance = "shared",
        output: MeanOutput = "tanh",
        max_channel_mult: int = 8,
    ) -> None:
        require_at_least(1, latent=latent, width=width, embedding=embedding, max_channel_mult=max_channel_mult)
        if not classes:
            raise ValueError("needs labels, and the data have none")
        super().__init__(shape, latent, pixel_likelihood, variance, output)
        channels, height, breadth = shape
        self.classes = classes
        self.plane = nn.Sequential(nn.Embedding(classes, height * breadth), nn.Unflatten(1, (1, height, breadth)))
        self.encoder = conv_encoder((channels + 1, height, breadth), width, 2 * latent, max_channel_mult)
        self.label = nn.Embedding(classes, embedding)
        self.decoder = conv_decoder(self.emission.params_shape(shape), latent + embedding, width, max_channel_mult)

    def encode(self, x: Tensor, y: Tensor | None = None) -> DiagonalNormal:
        return super().encode(torch.cat([x, self.plane(y)], 1))

    def decode(self, z: Tensor, y: Tensor | None = None) -> PixelDistribution:
        return super().decode(torch.cat([z, self.label(y)], 1))


Build = CVAE
