"""Two players: the discriminator D tells real from fake, the generator G makes D err.

Every loss is two functions of the logits D(x) of a real and D(G(z)) of a fake image, paired by their place in the
batch. R1 and R2 are E||grad D||^2 / 2 at real and at fake images (Mescheder, Geiger and Nowozin 2018, "Which training
methods for GANs do actually converge?"), taken every `penalty_every` steps with the weight multiplied by as much (lazy
regularisation; Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from genlib.data.batches import Batch
from genlib.objectives.parts.turns import Objective, Terms, Turn
from genlib.options import at_least, one_of, within

LossName = Literal["non_saturating", "least_squares", "hinge", "relativistic"]


class Adversaries(Protocol):
    latent: int
    generator: nn.Module
    discriminator: nn.Module


@dataclass(frozen=True)
class Loss:
    """What each player lowers, from the logits [n] of real and fake images; `paired`: G's needs the real ones too."""

    d: Callable[[Tensor, Tensor], Tensor]
    g: Callable[[Tensor, Tensor], Tensor]
    paired: bool = False


LOSSES: dict[str, Loss] = {
    # Goodfellow et al. 2014
    "non_saturating": Loss(
        d=lambda real, fake: softplus(-real) + softplus(fake),
        g=lambda real, fake: softplus(-fake),
    ),
    # Mao et al. 2017, with the targets 1 for real and -1 for fake
    "least_squares": Loss(
        d=lambda real, fake: ((real - 1).square() + (fake + 1).square()) / 2,
        g=lambda real, fake: (fake - 1).square() / 2,
    ),
    # Lim and Ye 2017, "Geometric GAN"
    "hinge": Loss(
        d=lambda real, fake: relu(1 - real) + relu(1 + fake),
        g=lambda real, fake: -fake,
    ),
    # Jolicoeur-Martineau 2019; with R1 and R2 the loss of Huang et al. 2024, "The GAN is dead"
    "relativistic": Loss(
        d=lambda real, fake: softplus(fake - real),
        g=lambda real, fake: softplus(real - fake),
        paired=True,
    ),
}


def gradient_penalty(discriminator: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """||grad D(x)||^2 / 2 [n], in float32 whatever the step's precision: the square loses too much in bfloat16."""
    x = x.detach().float().requires_grad_()
    with torch.autocast(x.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return gradient.square().flatten(1).sum(1) / 2


class Adversarial(Objective):
    """`r1`, `r2`: weights of the gradient penalties; `d_turns`: turns of D for one of G."""

    def __init__(
        self,
        *,
        loss: LossName = "non_saturating",
        r1: float = 0.0,
        r2: float = 0.0,
        penalty_every: int = 1,
        label_smoothing: float = 0.0,
        d_turns: int = 1,
    ) -> None:
        one_of(LossName, loss=loss)
        at_least(0, r1=r1, r2=r2)
        at_least(1, penalty_every=penalty_every, d_turns=d_turns)
        within(0, 1, label_smoothing=label_smoothing)
        if label_smoothing and LOSSES[loss].paired:
            raise ValueError(f"label_smoothing must be 0 with the loss {loss}, found {label_smoothing}")
        self.loss = LOSSES[loss]
        self.weights = {"r1": r1, "r2": r2}
        self.penalty_every = penalty_every
        self.label_smoothing = label_smoothing
        self.d_turns = d_turns

    def turns(self, model: nn.Module) -> tuple[Turn, ...]:
        players = cast(Adversaries, model)
        return (
            Turn("d", players.discriminator, lambda batch: self.d_terms(players, batch)),
            Turn("g", players.generator, lambda batch: self.g_terms(players, batch), every=self.d_turns),
        )

    def d_terms(self, model: Adversaries, batch: Batch) -> Terms:
        with torch.no_grad():
            made = model.generator(batch.randn("z_d", model.latent)).float()
        real, fake = model.discriminator(torch.cat([batch.x, made])).float().flatten().chunk(2)
        loss = self.d_loss(real, fake)
        watch = {
            "loss_d": loss.detach(),
            "d_real": (real > 0).float(),
            "d_fake": (fake < 0).float(),
            "logit_gap": (real - fake).detach(),
        }
        if batch.step % self.penalty_every == 0:
            penalties = self.penalties(model, {"r1": batch.x, "r2": made})
            loss = loss + self.penalty_every * sum(self.weights[name] * values for name, values in penalties.items())
            watch |= {name: values.detach() for name, values in penalties.items()}
        return Terms(loss, watch)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """One-sided smoothing: a share of the real images is called fake (Salimans et al. 2016)."""
        share = self.label_smoothing
        if not share:
            return self.loss.d(real, fake)
        return (1 - share) * self.loss.d(real, fake) + share * self.loss.d(-real, fake)

    def penalties(self, model: Adversaries, at: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those that have a weight, each [n]."""
        return {
            name: gradient_penalty(model.discriminator, at[name]) for name, weight in self.weights.items() if weight
        }

    def g_terms(self, model: Adversaries, batch: Batch) -> Terms:
        fake = self.logits(model, model.generator(batch.randn("z_g", model.latent)))
        with torch.no_grad():
            real = self.logits(model, batch.x) if self.loss.paired else torch.zeros_like(fake)
        loss = self.loss.g(real, fake)
        return Terms(loss, {"loss_g": loss.detach()})

    def logits(self, model: Adversaries, x: Tensor) -> Tensor:
        logits: Tensor = model.discriminator(x).float().flatten()
        return logits


Build = Adversarial
