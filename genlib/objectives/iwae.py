"""The importance-weighted bound: log p(x) >= E log (w_1 + ... + w_k) / k, w = p(x, z) / q(z|x) at k draws of q(z|x).
Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders"; k = 1 is the ELBO with its KL at the draw. In
the gradient, that of log w_i has the weight v_i = w_i / sum w."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from genlib.data.batches import Batch
from genlib.objectives.common.likelihood import LikelihoodModel, bits_to_log, observed_batch
from genlib.objectives.common.phases import Objective, StepLosses
from genlib.validation import require_at_least


@dataclass(kw_only=True, eq=False)
class IWAEBound(Objective):
    """`k`: draws per image. `dreg`: the doubly reparameterised gradient of the encoder, which has the same expectation
    and less variance the larger k is (Tucker, Lawson, Gu and Maddison 2019); for one stochastic layer."""

    k: int = 5
    dreg: bool = False
    needs = ("log_weights",)

    def __post_init__(self) -> None:
        require_at_least(1, k=self.k)

    def check(self, model: Any) -> None:
        super().check(model)
        if self.dreg and model.noise_dim != model.latent:
            raise ValueError("dreg: got true, expected false for a model with several stochastic layers")

    def step_losses(self, model: LikelihoodModel, batch: Batch) -> StepLosses:
        x, y = observed_batch(model, batch)
        noise = batch.randn("z", self.k, model.noise_dim).transpose(0, 1)
        log_w = dreg_log_weights(model, x, noise, y) if self.dreg else model.log_weights(x, noise, y)
        bound = log_w.logsumexp(0) - math.log(self.k)
        effective = 1 / log_w.detach().softmax(0).square().sum(0)
        return StepLosses(-bound, {"bound": bound, "effective_samples": effective} | bits_to_log(model, -bound))


def dreg_log_weights(model: LikelihoodModel, x: Tensor, noise: Tensor, y: Tensor | None) -> Tensor:
    """log w [k, n] of which log sum w has the encoder's gradient sum v_i^2 (d log w_i / d z_i) (d z_i / d q). Tucker et
    al. 2019, equation 8: log q has no gradient but through z, and that through z_i is multiplied by v_i."""
    q = model.encode(x, y)
    z = q.rsample(noise)
    log_w: Tensor = model.log_likelihood(x, z, y) - q.detach().log_ratio(z)
    if z.requires_grad:
        v = log_w.detach().softmax(0)
        z.register_hook(lambda gradient: v[..., None] * gradient)
    return log_w


Build = IWAEBound
