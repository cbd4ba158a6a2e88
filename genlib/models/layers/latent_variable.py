"""Latent-variable models: z ~ N(0, 1), x ~ p(x|z), and an encoder's q(z|x) that approximates the posterior. log p(x) =
log E_q(z|x) w with the weights w = p(x, z) / q(z|x); everything is in nats, float32 whatever the step's precision.
Codes of k draws for each of n images are [k, n, latent], and the images are encoded once for all k."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from genlib.data.images import Images, dequantize, is_binary
from genlib.models.layers.blocks import Shape
from genlib.models.layers.diagonal_normal import DiagonalNormal
from genlib.models.layers.pixel_likelihood import (
    BITS_OFFSET,
    MeanOutput,
    ObservationHead,
    PixelDistribution,
    PixelLikelihood,
    PixelVariance,
    bits_per_dim,
    resolve_pixel_likelihood,
)
from genlib.models.layers.sampling import sample_from
from genlib.validation import require_one_of


class LatentVariableModel(nn.Module):
    """One stochastic layer: a model sets `encoder` and `decoder`, or overrides `encode` and `decode`. With
    several layers it overrides `noise_dim`, `decode_noise` and `log_px_and_log_ratio` too, and the top one is z. A
    conditional model takes labels y int64 [n], the others ignore y."""

    conditional: ClassVar[bool] = False
    classes: int = 0  # of a conditional model
    encoder: nn.Module
    decoder: nn.Module

    def __init__(
        self,
        shape: Shape,
        latent: int,
        pixel_likelihood: PixelLikelihood,
        variance: PixelVariance = "shared",
        output: MeanOutput = "tanh",
    ) -> None:
        require_one_of(PixelLikelihood, pixel_likelihood=pixel_likelihood)
        super().__init__()
        self.shape, self.latent = shape, latent
        self.pixel_likelihood = resolve_pixel_likelihood(pixel_likelihood, is_binary=False)
        self.emission = ObservationHead(shape, self.pixel_likelihood, variance, output)

    def encode(self, x: Tensor, y: Tensor | None = None) -> DiagonalNormal:
        """q(z|x) of images [n, C, H, W]: moments [n, latent]."""
        return DiagonalNormal.from_moments(self.encoder(x))

    def decode(self, z: Tensor, y: Tensor | None = None) -> PixelDistribution:
        """p(x|z) of codes [n, latent]."""
        return self.emission.distribution(self.decoder(z))

    @classmethod
    def resolve_options(cls, options: dict[str, Any], train_images: Callable[[], Images]) -> dict[str, Any]:
        """Options without `pixel_likelihood: auto`, which the training images decide."""
        if options["pixel_likelihood"] != "auto":
            return options
        return options | {"pixel_likelihood": resolve_pixel_likelihood("auto", is_binary(train_images().pixels))}

    @property
    def noise_dim(self) -> int:
        """Standard normal numbers that one draw of all latent layers takes."""
        return self.latent

    @property
    def has_pixel_variance(self) -> bool:
        """Whether each pixel has a variance of its own."""
        return self.emission.has_pixel_variance

    @property
    def nll_offset(self) -> float:
        """Nats to add to -log p(x) for intensities (x + 1) / 2: -D log 2 for a density of D values, else 0."""
        return -math.prod(self.shape) * math.log(2) if self.pixel_likelihood == "gaussian" else 0.0

    def bits_per_dim(self, nll: Tensor) -> Tensor | None:
        """Of -log p(x) [n] as `log_prob` gives it; None where the likelihood is not of 8-bit pixels."""
        if self.pixel_likelihood not in BITS_OFFSET:
            return None
        return bits_per_dim(self.pixel_likelihood, nll + self.nll_offset, math.prod(self.shape))

    def binarize_or_dequantize(self, x: Tensor, u: Tensor) -> Tensor:
        """Images [n, C, H, W] as the likelihood sees them, by `u` uniform in [0, 1), of their shape."""
        if self.pixel_likelihood == "binarized":
            return 2 * (u < (x + 1) / 2).to(x.dtype) - 1
        return dequantize(x, u) if self.pixel_likelihood == "gaussian" else x

    def decode_noise(self, noise: Tensor, y: Tensor | None = None) -> PixelDistribution:
        """p(x|h) of the layer h next to the image, as standard normal `noise` [n, noise_dim] determines it."""
        return self.decode(noise, y)

    def log_likelihood(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x|noise) [k, n] of standard normal noise [k, n, noise_dim]: the codes, with one layer."""
        k = len(noise)
        p = self.decode_noise(noise.flatten(0, 1), None if y is None else y.repeat(k))
        return p.log_prob(x.repeat(k, 1, 1, 1)).view(k, -1)

    def sample_pixels(self, noise: Tensor, pixel_noise: Tensor, y: Tensor | None = None) -> Tensor:
        """x ~ p(x|noise) [n, C, H, W] by standard normal `pixel_noise` of that shape."""
        return self.decode_noise(noise, y).sample_from_noise(pixel_noise)

    def log_px_and_log_ratio(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """log p(x|z) and log q(z|x) / p(z), each [k, n], at the codes of `noise` [k, n, noise_dim]."""
        q = self.encode(x, y)
        z = q.rsample(noise)
        return self.log_likelihood(x, z, y), q.log_ratio(z)

    def log_weights(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Tensor:
        """log w [k, n]; x as `binarize_or_dequantize` gives it."""
        log_px, log_ratio = self.log_px_and_log_ratio(x, noise, y)
        return log_px - log_ratio

    def sample(self, n: int, *, seed: int = 0, y: Tensor | None = None) -> Tensor:
        """Mean images of z ~ N(0, 1) and, for a conditional model, classes y int64 [n], by default drawn uniformly."""

        def decode(noise: Tensor, *labels: Tensor) -> Tensor:
            return self.decode_noise(noise, *labels).mean.clamp(-1, 1)

        return sample_from(decode, self, self.noise_dim, n, seed, self.classes, y)

    def decode_image(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decode(z, y).mean.clamp(-1, 1)

    def encode_mean(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.encode(x, y).mean

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decode_image(self.encode_mean(x, y), y)
