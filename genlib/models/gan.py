"""A generator and a discriminator after DCGAN, without batch normalisation.

Radford, Metz and Chintala 2015, "Unsupervised representation learning with deep convolutional GANs". The generator
normalises groups of channels within an image, the discriminator nothing.
"""

from __future__ import annotations

from torch import Tensor, nn

from genlib.models.parts.layers import Decoder, check_shape, encoder, sample_from
from genlib.options import at_least


class GAN(nn.Module):
    """`generator`: z [n, latent] -> image in [-1, 1]; `discriminator`: image -> logit [n, 1] of being real."""

    def __init__(
        self, shape: tuple[int, int, int], classes: int, *, latent: int = 64, width: int = 64, width_d: int = 32
    ) -> None:
        at_least(1, latent=latent, width=width, width_d=width_d)
        check_shape(shape)
        super().__init__()
        self.latent = latent
        self.generator = nn.Sequential(Decoder(shape, latent, width), nn.Tanh())
        self.discriminator = encoder(shape, width_d, 1)

    def sample(self, n: int, *, seed: int = 0) -> Tensor:
        """Images of z ~ N(0, 1)."""
        return sample_from(self.generator, self, self.latent, n, seed)


Build = GAN
