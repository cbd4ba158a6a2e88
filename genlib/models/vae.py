"""A convolutional variational autoencoder: q(z|x) = N(mean, exp(log_variance)), p(x|z) Bernoulli or Gaussian.

Kingma and Welling 2013, "Auto-encoding variational Bayes". An intensity is (x + 1) / 2.
"""

from __future__ import annotations

from torch import Tensor

from genlib.models.layers.blocks import Decoder, check_shape, encoder
from genlib.models.layers.latent_variable import Diagonal, Emission, Kind, LatentVariableModel, Observation, Variance
from genlib.validation import at_least


class VAE(LatentVariableModel):
    """`observation`: what a pixel is given its code; `variance`: of a gaussian one, per pixel or one for all."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        *,
        latent: int = 16,
        width: int = 32,
        observation: Kind = "intensity",
        variance: Variance = "pixel",
    ) -> None:
        at_least(1, latent=latent, width=width)
        check_shape(shape)
        super().__init__(shape, latent, observation)
        self.encoder = encoder(shape, width, 2 * latent)
        self.emission = Emission(observation, variance)
        self.decoder = Decoder((self.emission.planes * shape[0], *shape[1:]), latent, width)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Diagonal:
        return Diagonal.of(self.encoder(x))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Observation:
        observation: Observation = self.emission(self.decoder(z))
        return observation


Build = VAE
