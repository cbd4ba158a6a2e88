"""The evidence lower bound: log p(x) >= E_q(z|x) log p(x|z) - KL(q(z|x) || p(z)), in nats (Kingma and Welling 2013);
beta weights the KL as in Higgins et al. 2017, "beta-VAE"."""

from dataclasses import dataclass

from genlib.data.batches import Batch
from genlib.objectives.common.likelihood import LikelihoodModel, bits_to_log, observed_batch
from genlib.objectives.common.phases import Objective, StepLosses
from genlib.validation import require_at_least


@dataclass(kw_only=True, eq=False)
class Elbo(Objective):
    """`warm_up`: images over which the KL's weight rises linearly from 0 to `beta`."""

    beta: float = 1.0
    warm_up: int = 0
    needs = ("log_weights",)

    def __post_init__(self) -> None:
        require_at_least(0, beta=self.beta, warm_up=self.warm_up)

    def step_losses(self, model: LikelihoodModel, batch: Batch) -> StepLosses:
        (x, y), noise = observed_batch(model, batch), batch.randn("z", model.noise_dim)
        if model.noise_dim == model.latent:
            q = model.encode(x, y)
            log_px, kl = model.log_likelihood(x, q.rsample(noise)[None], y)[0], q.kl()
        else:  # with several stochastic layers the KL is not known but at the draw
            log_px, kl = (values[0] for values in model.log_px_and_log_ratio(x, noise[None], y))
        loss = self.kl_weight(batch.step * batch.global_size) * kl - log_px
        return StepLosses(loss, {"reconstruction": -log_px, "kl": kl, **bits_to_log(model, kl - log_px)})

    def kl_weight(self, images_seen: int) -> float:
        return self.beta * min(1.0, images_seen / self.warm_up) if self.warm_up else self.beta


Build = Elbo
