"""The evidence lower bound: log p(x) >= E_q(z|x) log p(x|z) - KL(q(z|x) || p(z)), in nats per image.

Kingma and Welling 2013; beta weights the KL as in Higgins et al. 2017, "beta-VAE".
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from genlib.data.batches import Batch
from genlib.objectives.common.likelihood import LatentVariables, check, seen, single
from genlib.objectives.common.phases import Objective, Terms, Turn
from genlib.validation import at_least


class Elbo(Objective):
    """`warm_up`: images over which the KL's weight rises linearly from 0 to `beta`."""

    def __init__(self, *, beta: float = 1.0, warm_up: int = 0) -> None:
        at_least(0, beta=beta, warm_up=warm_up)
        self.beta = beta
        self.warm_up = warm_up

    def turns(self, model: nn.Module) -> tuple[Turn, ...]:
        check(model)
        return (Turn("model", model, lambda batch: self.terms(cast(LatentVariables, model), batch)),)

    def terms(self, model: LatentVariables, batch: Batch) -> Terms:
        likelihood, kl = estimate(model, batch)
        loss = self.weight(batch.step * batch.size) * kl - likelihood
        return Terms(loss, {"reconstruction": -likelihood.detach(), "kl": kl.detach()})

    def weight(self, images_seen: int) -> float:
        return self.beta * min(1.0, images_seen / self.warm_up) if self.warm_up else self.beta


def estimate(model: LatentVariables, batch: Batch) -> tuple[Tensor, Tensor]:
    """log p(x|z) [n] at one draw of q, and the KL [n]: exact of one stochastic layer, at that draw of several."""
    (x, y), noise = seen(model, batch), batch.randn("z", model.noise)
    if not single(model):
        likelihood, ratio = model.parts(x, noise[None], y)
        return likelihood[0], ratio[0]
    q = model.encode(x, y)
    return model.likelihood(x, q.at(noise)[None], y)[0], q.kl()


Build = Elbo
