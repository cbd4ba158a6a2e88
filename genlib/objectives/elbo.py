"""The evidence lower bound: log p(x) >= E_q(z|x) log p(x|z) - KL(q(z|x) || p(z)), in nats per image.

Kingma and Welling 2013; beta weights the KL as in Higgins et al. 2017, "beta-VAE".
"""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from genlib.data.batches import Batch
from genlib.objectives.common.likelihood import (
    LikelihoodModel,
    has_one_latent_layer,
    observed_batch,
    require_likelihood,
)
from genlib.objectives.common.phases import Objective, Phase, StepLosses
from genlib.validation import require_at_least


class Elbo(Objective):
    """`warm_up`: images over which the KL's weight rises linearly from 0 to `beta`."""

    def __init__(self, *, beta: float = 1.0, warm_up: int = 0) -> None:
        require_at_least(0, beta=beta, warm_up=warm_up)
        self.beta = beta
        self.warm_up = warm_up

    def phases(self, model: nn.Module) -> tuple[Phase, ...]:
        require_likelihood(model)
        return (Phase("model", model, lambda batch: self.step_losses(cast(LikelihoodModel, model), batch)),)

    def step_losses(self, model: LikelihoodModel, batch: Batch) -> StepLosses:
        likelihood, kl = log_px_and_kl(model, batch)
        loss = self.kl_weight(batch.step * batch.global_size) * kl - likelihood
        return StepLosses(loss, {"reconstruction": -likelihood.detach(), "kl": kl.detach()})

    def kl_weight(self, images_seen: int) -> float:
        return self.beta * min(1.0, images_seen / self.warm_up) if self.warm_up else self.beta


def log_px_and_kl(model: LikelihoodModel, batch: Batch) -> tuple[Tensor, Tensor]:
    """log p(x|z) [n] at one draw of q, and the KL [n]: exact of one stochastic layer, at that draw of several."""
    (x, y), noise = observed_batch(model, batch), batch.randn("z", model.noise_dim)
    if not has_one_latent_layer(model):
        likelihood, ratio = model.log_px_and_log_ratio(x, noise[None], y)
        return likelihood[0], ratio[0]
    q = model.encode(x, y)
    return model.log_likelihood(x, q.rsample(noise)[None], y)[0], q.kl()


Build = Elbo
