"""Two players: the discriminator D tells real from fake, the generator G makes D err.

A loss is two functions of the logits D(x) of a real and D(G(z)) of a fake image, paired by their place in the batch. A
penalty on D's gradient is taken every `penalty_every` steps with its weight multiplied by as much (lazy regularisation;
Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN"). Both players of a conditional model are
given the labels of the batch. A D that sees packs of images gives one logit a pack, which counts for each image of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from genlib.data.batches import Batch
from genlib.objectives.common.gan_losses import LOSSES, LossName
from genlib.objectives.common.gradient_penalties import Judge, between, one_centred, zero_centred
from genlib.objectives.common.phases import Objective, Terms, Turn
from genlib.validation import at_least, one_of, within


class Adversaries(Protocol):
    conditional: bool
    separate: bool
    latent: int
    pack: int
    generator: nn.Module
    discriminator: nn.Module


def packed(x: Tensor, pack: int) -> Tensor:
    """Consecutive images [n, C, H, W] side by side along their channels, [n / pack, pack C, H, W]."""
    if len(x) % pack:
        raise ValueError(f"pack must divide the images of a worker's batch, found {pack} and {len(x)}")
    return x.reshape(len(x) // pack, pack * x.shape[1], *x.shape[2:])


def unpacked(terms: Terms, pack: int) -> Terms:
    """Values of packs [n / pack] as values of their images [n]."""
    each = {name: values.repeat_interleave(pack) for name, values in terms.watch.items()}
    return Terms(terms.loss.repeat_interleave(pack), each)


def labels(model: Adversaries, batch: Batch) -> tuple[Tensor, ...]:
    """What both players are told besides their input."""
    return (batch.y,) if model.conditional else ()


class Adversarial(Objective):
    """`r1`, `r2`, `gradient_penalty`: weights of the penalties; `d_turns`: turns of D for one of G.

    `instance_noise`: standard deviation of the noise on all that D sees, falling linearly to 0 at `noise_until` images
    (Sønderby et al. 2016, "Amortised MAP inference for image super-resolution").
    """

    def __init__(
        self,
        *,
        loss: LossName = "non_saturating",
        r1: float = 0.0,
        r2: float = 0.0,
        gradient_penalty: float = 0.0,
        penalty_every: int = 1,
        label_smoothing: float = 0.0,
        instance_noise: float = 0.0,
        noise_until: int = 100_000,
        d_turns: int = 1,
    ) -> None:
        one_of(LossName, loss=loss)
        at_least(0, r1=r1, r2=r2, gradient_penalty=gradient_penalty, instance_noise=instance_noise)
        at_least(1, penalty_every=penalty_every, noise_until=noise_until)
        within(1, 101, d_turns=d_turns)
        within(0, 1, label_smoothing=label_smoothing)
        if label_smoothing and LOSSES[loss].paired:
            raise ValueError(f"label_smoothing must be 0 with the loss {loss}, found {label_smoothing}")
        self.loss = LOSSES[loss]
        self.weights = {"r1": r1, "r2": r2, "gradient_penalty": gradient_penalty}
        self.penalty_every = penalty_every
        self.label_smoothing = label_smoothing
        self.instance_noise = instance_noise
        self.noise_until = noise_until
        self.d_turns = d_turns

    def turns(self, model: nn.Module) -> tuple[Turn, ...]:
        if not (hasattr(model, "generator") and hasattr(model, "discriminator")):
            lacking = type(model).__name__
            raise ValueError(f"objective adversarial needs a generator and a discriminator, found none in {lacking}")
        players = cast(Adversaries, model)
        return (
            Turn("d", players.discriminator, lambda batch: unpacked(self.d_terms(players, batch), players.pack)),
            Turn(
                "g", players.generator, lambda batch: unpacked(self.g_terms(players, batch), players.pack), self.d_turns
            ),
        )

    def d_terms(self, model: Adversaries, batch: Batch) -> Terms:
        with torch.no_grad():
            made = model.generator(batch.randn("z_d", model.latent), *labels(model, batch)).float()
        x, made = self.shown(model, batch, batch.x, "real_d"), self.shown(model, batch, made, "fake_d")
        passes = (x, made) if model.separate else (torch.cat([x, made]),)
        real, fake = torch.cat([self.judge(model, batch)(seen) for seen in passes]).float().flatten().chunk(2)
        loss = self.d_loss(real, fake)
        watch = {
            "loss_d": loss.detach(),
            "d_real": (real > 0).float(),
            "d_fake": (fake < 0).float(),
            "logit_gap": (real - fake).detach(),
        }
        if batch.step % self.penalty_every == 0:
            penalties = self.penalties(model, batch, x, made)
            loss = loss + self.penalty_every * sum(self.weights[name] * values for name, values in penalties.items())
            watch |= {name: values.detach() for name, values in penalties.items()}
        return Terms(loss, watch)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """One-sided smoothing: a share of the real images is called fake (Salimans et al. 2016)."""
        share = self.label_smoothing
        if not share:
            return self.loss.d(real, fake)
        return (1 - share) * self.loss.d(real, fake) + share * self.loss.d(-real, fake)

    def penalties(self, model: Adversaries, batch: Batch, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Those that have a weight, one value for each that D judges."""
        judge, share = self.judge(model, batch), batch.rand("between")[:: model.pack]
        all_: dict[str, Callable[[], Tensor]] = {
            "r1": lambda: zero_centred(judge, real),
            "r2": lambda: zero_centred(judge, fake),
            "gradient_penalty": lambda: one_centred(judge, between(real, fake, share)),
        }
        return {name: penalty() for name, penalty in all_.items() if self.weights[name]}

    def g_terms(self, model: Adversaries, batch: Batch) -> Terms:
        made = model.generator(batch.randn("z_g", model.latent), *labels(model, batch))
        fake = self.logits(model, batch, made, "fake_g")
        with torch.no_grad():
            real = self.logits(model, batch, batch.x, "real_g") if self.loss.paired else torch.zeros_like(fake)
        loss = self.loss.g(real, fake)
        return Terms(loss, {"loss_g": loss.detach()})

    def logits(self, model: Adversaries, batch: Batch, x: Tensor, name: str) -> Tensor:
        return self.judge(model, batch)(self.shown(model, batch, x, name)).float().flatten()

    def judge(self, model: Adversaries, batch: Batch) -> Judge:
        """D, told the labels of the batch as often as its images repeat the batch."""
        return lambda x: model.discriminator(x, *(y.repeat(len(x) // len(y)) for y in labels(model, batch)))

    def shown(self, model: Adversaries, batch: Batch, x: Tensor, name: str) -> Tensor:
        """Images as D sees them: noisy, in packs."""
        deviation = self.noise(batch.step * batch.size)
        if deviation:
            x = x + deviation * batch.randn(name, *x.shape[1:])
        return packed(x, model.pack)

    def noise(self, images_seen: int) -> float:
        """The standard deviation of the instance noise."""
        return self.instance_noise * max(0.0, 1 - images_seen / self.noise_until)


Build = Adversarial
