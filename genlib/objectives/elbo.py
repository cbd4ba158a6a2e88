"""The evidence lower bound: log p(x) >= E_q(z|x) log p(x|z) - KL(q(z|x) || p(z)), in nats per image.

Kingma and Welling 2013; beta weights the KL as in Higgins et al. 2017, "beta-VAE".
"""

from __future__ import annotations

from typing import Protocol, cast

from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.batches import Batch
from genlib.objectives.parts.turns import Objective, Terms, Turn
from genlib.options import at_least


class Autoencodes(Protocol):
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]: ...
    def decode(self, z: Tensor) -> Tensor: ...


def cross_entropy(logits: Tensor, x: Tensor) -> Tensor:
    """-log p(x|z) [n] of intensities (x + 1) / 2 under Bernoulli logits."""
    return F.binary_cross_entropy_with_logits(logits.float(), (x + 1) / 2, reduction="none").flatten(1).sum(1)


def kl_from_standard(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) [n] = sum (mean^2 + variance - 1 - log variance) / 2."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


class Elbo(Objective):
    """`warm_up`: images over which the KL's weight rises linearly from 0 to `beta`."""

    def __init__(self, *, beta: float = 1.0, warm_up: int = 0) -> None:
        at_least(0, beta=beta, warm_up=warm_up)
        self.beta = beta
        self.warm_up = warm_up

    def turns(self, model: nn.Module) -> tuple[Turn, ...]:
        return (Turn("model", model, lambda batch: self.terms(cast(Autoencodes, model), batch)),)

    def terms(self, model: Autoencodes, batch: Batch) -> Terms:
        mean, log_variance = (moment.float() for moment in model.encode(batch.x))
        z = mean + (0.5 * log_variance).exp() * batch.randn("z", mean.shape[1])
        reconstruction = cross_entropy(model.decode(z), batch.x)
        kl = kl_from_standard(mean, log_variance)
        loss = reconstruction + self.weight(batch.step * batch.size) * kl
        return Terms(loss, {"reconstruction": reconstruction.detach(), "kl": kl.detach()})

    def weight(self, images_seen: int) -> float:
        return self.beta * min(1.0, images_seen / self.warm_up) if self.warm_up else self.beta


Build = Elbo
