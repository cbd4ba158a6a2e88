"""Latent-variable models: z ~ N(0, 1), x ~ p(x|z), and an encoder's q(z|x) that approximates the posterior. log p(x) =
log E_q(z|x) w with the weights w = p(x, z) / q(z|x); everything is in nats, float32 whatever the step's precision.
Codes of k draws for each of n images are [k, n, latent], and the images are encoded once for all k."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.images import dequantize
from genlib.models.layers.blocks import Shape
from genlib.models.layers.sampling import sample_from
from genlib.validation import require_one_of

# binarized: each visit draws black or white with the probability of the grey; gray_bce: the greys themselves under the
# same cross-entropy, which is no density; gaussian: greys dequantised over their bin, so that a density is a likelihood
PixelLikelihood = Literal["binarized", "gray_bce", "gaussian"]
PixelVariance = Literal["pixel", "shared"]
LOG_2_PI = math.log(2 * math.pi)
LOG_VARIANCE_RANGE = (2 * math.log(2 / 255), 0.0)  # of x in [-1, 1]: a standard deviation from one grey level to 1


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """log N(z; 0, 1) [...] of z [..., d]."""
    return -0.5 * (z.square() + LOG_2_PI).sum(-1)


@dataclass(frozen=True)
class DiagonalNormal:
    """N(mean, exp(log_variance)), independent over the last dimension: both [..., d]."""

    mean: Tensor
    log_variance: Tensor

    @classmethod
    def from_moments(cls, moments: Tensor) -> Self:
        """From [..., 2 d]: the mean, then the log-variance."""
        mean, log_variance = moments.float().chunk(2, dim=-1)
        return cls(mean, log_variance)

    def rsample(self, noise: Tensor) -> Tensor:
        return self.mean + (0.5 * self.log_variance).exp() * noise

    def log_prob(self, z: Tensor) -> Tensor:
        scaled = (z - self.mean).square() * (-self.log_variance).exp()
        return -0.5 * (scaled + self.log_variance + LOG_2_PI).sum(-1)

    def log_ratio(self, z: Tensor) -> Tensor:
        """log of this density over the standard normal's at z; its expectation under this one is `kl`."""
        return self.log_prob(z) - standard_normal_log_prob(z)

    def kl(self) -> Tensor:
        """KL from the standard normal: sum (mean^2 + variance - 1 - log variance) / 2."""
        return 0.5 * (self.mean.square() + self.log_variance.exp() - 1 - self.log_variance).sum(-1)

    def detach(self) -> Self:
        return type(self)(self.mean.detach(), self.log_variance.detach())


@dataclass(frozen=True)
class Bernoulli:
    """Each pixel is white (+1) with probability sigmoid(logits), else black (-1); for a grey x, the mean of both."""

    logits: Tensor

    @property
    def mean(self) -> Tensor:
        return 2 * torch.sigmoid(self.logits) - 1

    def log_prob(self, x: Tensor) -> Tensor:
        """sum p l - log(1 + e^l), with the intensity p = (x + 1) / 2."""
        return ((x + 1) / 2 * self.logits - F.softplus(self.logits)).flatten(-3).sum(-1)

    def sample_from_noise(self, noise: Tensor) -> Tensor:
        white: Tensor = torch.special.ndtr(noise) < torch.sigmoid(self.logits)
        return 2 * white.to(noise.dtype) - 1


@dataclass(frozen=True)
class Gaussian(DiagonalNormal):
    """Each pixel is N(mean, exp(log_variance)), both [..., C, H, W], the mean in [-1, 1]."""

    def log_prob(self, x: Tensor) -> Tensor:
        return DiagonalNormal(self.mean.flatten(-3), self.log_variance.flatten(-3)).log_prob(x.flatten(-3))

    sample_from_noise = DiagonalNormal.rsample


# p(x|z) of images [..., C, H, W], whose `mean` is in [-1, 1]. `log_prob(x)` [...] is in nats, of x as the model sees
# it; `sample_from_noise` draws images by standard normal noise of their shape.
PixelDistribution = Bernoulli | Gaussian


def bound_log_variance(raw: Tensor) -> Tensor:
    """Any real number -> a log-variance strictly inside LOG_VARIANCE_RANGE; 0 -> its middle."""
    low, high = LOG_VARIANCE_RANGE
    return low + (high - low) * torch.sigmoid(raw)


class ObservationHead(nn.Module):
    """p(x|z) from a decoder's output [n, params_per_value * C, H, W]."""

    def __init__(self, pixel_likelihood: PixelLikelihood, variance: PixelVariance) -> None:
        require_one_of(PixelVariance, variance=variance)
        super().__init__()
        self.is_gaussian = pixel_likelihood == "gaussian"
        self.params_per_value = 2 if self.is_gaussian and variance == "pixel" else 1
        if self.is_gaussian and variance == "shared":
            self.spread = nn.Parameter(torch.zeros(1))

    def params_shape(self, shape: Shape) -> Shape:
        return self.params_per_value * shape[0], shape[1], shape[2]

    def distribution(self, raw: Tensor) -> PixelDistribution:
        raw = raw.float()
        if not self.is_gaussian:
            return Bernoulli(raw)
        mean, spread = raw.chunk(2, dim=1) if self.params_per_value == 2 else (raw, self.spread)
        return Gaussian(torch.tanh(mean), bound_log_variance(spread).expand_as(mean))


class LatentVariableModel(nn.Module):
    """One stochastic layer: a model sets `encoder`, `decoder` and `emission`, or overrides `encode` and `decode`. With
    several layers it overrides `noise_dim`, `decode_noise` and `log_px_and_log_ratio` too, and the top one is z. A
    conditional model takes labels y int64 [n], the others ignore y."""

    conditional: ClassVar[bool] = False
    classes: int = 0  # of a conditional model
    encoder: nn.Module
    decoder: nn.Module
    emission: ObservationHead

    def __init__(self, shape: Shape, latent: int, pixel_likelihood: PixelLikelihood) -> None:
        require_one_of(PixelLikelihood, pixel_likelihood=pixel_likelihood)
        super().__init__()
        self.shape, self.latent, self.pixel_likelihood = shape, latent, pixel_likelihood

    def encode(self, x: Tensor, y: Tensor | None = None) -> DiagonalNormal:
        """q(z|x) of images [n, C, H, W]: moments [n, latent]."""
        return DiagonalNormal.from_moments(self.encoder(x))

    def decode(self, z: Tensor, y: Tensor | None = None) -> PixelDistribution:
        """p(x|z) of codes [n, latent]."""
        return self.emission.distribution(self.decoder(z))

    @property
    def noise_dim(self) -> int:
        """Standard normal numbers that one draw of all latent layers takes."""
        return self.latent

    @property
    def nll_offset(self) -> float:
        """Nats to add to -log p(x) for intensities (x + 1) / 2: -D log 2 for a density of D values, else 0."""
        return -math.prod(self.shape) * math.log(2) if self.pixel_likelihood == "gaussian" else 0.0

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
        return sample_from(
            lambda noise, *y: self.decode_noise(noise, *y).mean, self, self.noise_dim, n, seed, self.classes, y
        )

    def decode_image(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decode(z, y).mean

    def encode_mean(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.encode(x, y).mean

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return self.decode_image(self.encode_mean(x, y), y)
