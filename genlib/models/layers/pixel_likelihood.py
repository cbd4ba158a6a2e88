"""p(x|z) of the pixels of an image, from the output of a decoder.

`binarized`: each visit draws black or white with the probability of the grey. `gray_bce`: the greys themselves under
the same cross-entropy, which is no density. `gaussian`: greys dequantised over their bin, so that a density is a
likelihood; its variance is one number, learnt with the decoder (Rybkin, Daniilidis and Levine 2021, "Simple and
effective VAE training with calibrated decoders"), or one for each pixel. `discretized_logistic`: the mass of each of
the 256 levels under a logistic distribution, with one learnt scale a channel (Kingma et al. 2016, "Improving
variational inference with inverse autoregressive flow"; Salimans et al. 2017, "PixelCNN++"). `auto` is binarized where
all training pixels are black or white, else LEVELS_LIKELIHOOD.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.images import to_float, to_pixels
from genlib.models.layers.blocks import Shape
from genlib.models.layers.diagonal_normal import DiagonalNormal
from genlib.validation import require_one_of

PixelLikelihood = Literal["auto", "binarized", "gray_bce", "gaussian", "discretized_logistic"]
PixelVariance = Literal["shared", "pixel"]
MeanOutput = Literal["tanh", "linear"]
LEVELS_LIKELIHOOD: PixelLikelihood = "discretized_logistic"  # what `auto` is for images of grey levels or colour
HALF_BIN = 1 / 255  # of a grey level, for x in [-1, 1]
LOG_VARIANCE_RANGE = (2 * math.log(2 * HALF_BIN), 0.0)  # a standard deviation from one grey level to 1, half the range
LOG_SCALE_RANGE = (-7.0, 0.0)  # of a logistic; PixelCNN++ has the same lower end
INITIAL_SPREAD = 0.5  # deviation of a gaussian, scale of a logistic: about as much as images vary
SHARED_GAIN = 16.0  # Adam moves a number by the learning rate a step, so one that all pixels share would take thousands
BITS_OFFSET: Mapping[str, float] = {  # bits per value beside those of the reported nats: a density over [0, 1] counts
    "gaussian": 8.0,  # 1/256 for a level
    "spherical": 8.0,
    "discretized_logistic": 0.0,
}


def resolve_pixel_likelihood(pixel_likelihood: PixelLikelihood, is_binary: bool) -> PixelLikelihood:
    if pixel_likelihood != "auto":
        return pixel_likelihood
    return "binarized" if is_binary else LEVELS_LIKELIHOOD


def bits_per_dim(pixel_likelihood: str, nll: Tensor, num_values: int) -> Tensor:
    """Of 8-bit images of `num_values` values: nats / (D log 2), and 8 where -log p(x) `nll` is of a density of
    intensities from 0 to 1. `binarized` and `gray_bce` are no likelihood of the 256 levels, so KeyError."""
    return nll / (num_values * math.log(2)) + BITS_OFFSET[pixel_likelihood]


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
    """Each pixel is N(mean, exp(log_variance)), both [..., C, H, W]."""

    def log_prob(self, x: Tensor) -> Tensor:
        return DiagonalNormal(self.mean.flatten(-3), self.log_variance.flatten(-3)).log_prob(x.flatten(-3))

    sample_from_noise = DiagonalNormal.rsample


@dataclass(frozen=True)
class DiscretizedLogistic:
    """Each of the 256 levels has the mass of its bin under the logistic distribution of this mean and scale, both
    [..., C, H, W]; the bins of black and of white are open."""

    mean: Tensor
    log_scale: Tensor

    def log_prob(self, x: Tensor) -> Tensor:
        """sum log(sigmoid(a) - sigmoid(b)), a and b the ends of the bin in scales from the mean, by sigmoid(a) -
        sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - e^(b - a)), which loses nothing far from the mean."""
        inverse_scale = (-self.log_scale).exp()
        width = 2 * HALF_BIN * inverse_scale
        a = inverse_scale * (x - self.mean + HALF_BIN)
        is_black, is_white = x < -1 + HALF_BIN, x > 1 - HALF_BIN
        below = F.logsigmoid(a).masked_fill(is_white, 0)
        above = F.logsigmoid(width - a).masked_fill(is_black, 0)
        within = torch.log(-torch.expm1(-width)).masked_fill(is_black | is_white, 0)
        return (below + above + within).flatten(-3).sum(-1)

    def sample_from_noise(self, noise: Tensor) -> Tensor:
        drawn = self.mean + self.log_scale.exp() * torch.logit(torch.special.ndtr(noise))
        return to_float(to_pixels(drawn))


# p(x|z) of images [..., C, H, W]. `mean` is in [-1, 1] but for the output `linear`. `log_prob(x)` [...] is in nats, of
# x as the model sees it; `sample_from_noise` draws images by standard normal noise of their shape.
PixelDistribution = Bernoulli | Gaussian | DiscretizedLogistic


def squash_into(limits: tuple[float, float], raw: Tensor) -> Tensor:
    """Any real number -> one strictly inside the limits; 0 -> their middle."""
    low, high = limits
    return low + (high - low) * torch.sigmoid(raw)


def unsquash_from(limits: tuple[float, float], value: float) -> float:
    """The inverse of `squash_into`."""
    low, high = limits
    return math.log((value - low) / (high - value))


class ObservationHead(nn.Module):
    """p(x|z) from a decoder's output [..., params_per_value C, H, W]. `variance`: of a gaussian, `shared` by all pixels
    or of each `pixel`. `output`: the mean is tanh(h) of the decoder's value h, or h; a Bernoulli has a sigmoid."""

    def __init__(
        self, shape: Shape, pixel_likelihood: PixelLikelihood, variance: PixelVariance, output: MeanOutput
    ) -> None:
        require_one_of(PixelVariance, variance=variance)
        require_one_of(MeanOutput, output=output)
        super().__init__()
        self.pixel_likelihood, self.output = pixel_likelihood, output
        self.is_bernoulli = pixel_likelihood in ("binarized", "gray_bce")
        self.has_pixel_variance = pixel_likelihood == "gaussian" and variance == "pixel"
        self.params_per_value = 2 if self.has_pixel_variance else 1
        is_logistic = pixel_likelihood == "discretized_logistic"
        self.limits = LOG_SCALE_RANGE if is_logistic else LOG_VARIANCE_RANGE
        if not (self.is_bernoulli or self.has_pixel_variance):
            log_spread = math.log(INITIAL_SPREAD) * (1 if is_logistic else 2)
            start = unsquash_from(self.limits, log_spread) / SHARED_GAIN
            self.shared_spread = nn.Parameter(torch.full((shape[0], 1, 1) if is_logistic else (1,), start))

    def params_shape(self, shape: Shape) -> Shape:
        return self.params_per_value * shape[0], shape[1], shape[2]

    def distribution(self, raw: Tensor) -> PixelDistribution:
        raw = raw.float()
        if self.is_bernoulli:
            return Bernoulli(raw)
        h, spread = raw.chunk(2, dim=-3) if self.has_pixel_variance else (raw, SHARED_GAIN * self.shared_spread)
        mean = torch.tanh(h) if self.output == "tanh" else h
        law = DiscretizedLogistic if self.pixel_likelihood == "discretized_logistic" else Gaussian
        return law(mean, squash_into(self.limits, spread).expand_as(mean))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *arguments: Any) -> None:
        """Former folders hold the shared spread under another name, without the gain."""
        if (former := state_dict.pop(prefix + "spread", None)) is not None:
            state_dict[prefix + "shared_spread"] = former / SHARED_GAIN
        super()._load_from_state_dict(state_dict, prefix, *arguments)

    def inverse_mean(self, intensity: Tensor) -> Tensor:
        """The decoder's values whose mean image has these intensities (x + 1) / 2, clipped to [0.001, 0.999]."""
        logit = torch.logit(intensity, eps=0.001)
        if self.is_bernoulli:
            return logit
        return logit / 2 if self.output == "tanh" else 2 * intensity - 1
