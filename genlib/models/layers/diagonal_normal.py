"""Normal distributions with a diagonal covariance, as encoders and decoders give them; densities are in nats."""

import math
from dataclasses import dataclass
from typing import Self

from torch import Tensor

LOG_2_PI = math.log(2 * math.pi)


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
