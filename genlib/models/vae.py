"""A convolutional variational autoencoder: q(z|x) = N(mean, exp(log_variance)), p(x|z) Bernoulli in each intensity.

Kingma and Welling 2013, "Auto-encoding variational Bayes". An intensity is (x + 1) / 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genlib.models.parts.layers import Decoder, check_shape, encoder, sample_from
from genlib.options import at_least


def to_image(logits: Tensor) -> Tensor:
    """Mean intensities of the Bernoulli logits, as an image in [-1, 1]."""
    return 2 * torch.sigmoid(logits.float()) - 1


class VAE(nn.Module):
    def __init__(self, shape: tuple[int, int, int], classes: int, *, latent: int = 16, width: int = 32) -> None:
        at_least(1, latent=latent, width=width)
        check_shape(shape)
        super().__init__()
        self.latent = latent
        self.encoder = encoder(shape, width, 2 * latent)
        self.decoder = Decoder(shape, latent, width)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(mean, log_variance) of q(z|x), each [n, latent]."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, z: Tensor) -> Tensor:
        """Logits [n, C, H, W] of p(x|z)."""
        logits: Tensor = self.decoder(z)
        return logits

    def sample(self, n: int, *, seed: int = 0) -> Tensor:
        """Mean images of z ~ N(0, 1)."""
        return sample_from(lambda z: to_image(self.decode(z)), self, self.latent, n, seed)

    def reconstruct(self, x: Tensor) -> Tensor:
        """The mean image of the mean code."""
        return to_image(self.decode(self.encode(x)[0]))


Build = VAE
