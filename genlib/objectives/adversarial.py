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
from genlib.objectives.common.gan_losses import LOSSES, GANLossName
from genlib.objectives.common.gradient_penalties import (
    Discriminator,
    interpolate_images,
    one_centered_penalty,
    zero_centered_penalty,
)
from genlib.objectives.common.phases import Objective, Phase, StepLosses
from genlib.validation import require_at_least, require_in_range, require_one_of


class GANModel(Protocol):
    conditional: bool
    separate_passes: bool
    latent: int
    pack: int
    generator: nn.Module
    discriminator: nn.Module


def pack_images(x: Tensor, pack: int) -> Tensor:
    """Consecutive images [n, C, H, W] side by side along their channels, [n / pack, pack C, H, W]."""
    if len(x) % pack:
        raise ValueError(f"pack must divide the images of a worker's batch, found {pack} and {len(x)}")
    return x.reshape(len(x) // pack, pack * x.shape[1], *x.shape[2:])


def unpack_losses(losses: StepLosses, pack: int) -> StepLosses:
    """Values of packs [n / pack] as values of their images [n]."""
    each = {name: values.repeat_interleave(pack) for name, values in losses.logged.items()}
    return StepLosses(losses.loss.repeat_interleave(pack), each)


def label_args(model: GANModel, batch: Batch) -> tuple[Tensor, ...]:
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
        loss: GANLossName = "non_saturating",
        r1: float = 0.0,
        r2: float = 0.0,
        gradient_penalty: float = 0.0,
        lazy_reg_interval: int = 1,
        label_smoothing: float = 0.0,
        instance_noise: float = 0.0,
        noise_anneal_images: int = 100_000,
        d_steps_per_g_step: int = 1,
    ) -> None:
        require_one_of(GANLossName, loss=loss)
        require_at_least(0, r1=r1, r2=r2, gradient_penalty=gradient_penalty, instance_noise=instance_noise)
        require_at_least(1, lazy_reg_interval=lazy_reg_interval, noise_anneal_images=noise_anneal_images)
        require_in_range(1, 101, d_steps_per_g_step=d_steps_per_g_step)
        require_in_range(0, 1, label_smoothing=label_smoothing)
        if label_smoothing and LOSSES[loss].relativistic:
            raise ValueError(f"label_smoothing must be 0 with the loss {loss}, found {label_smoothing}")
        self.loss = LOSSES[loss]
        self.penalty_weights = {"r1": r1, "r2": r2, "gradient_penalty": gradient_penalty}
        self.lazy_reg_interval = lazy_reg_interval
        self.label_smoothing = label_smoothing
        self.instance_noise = instance_noise
        self.noise_anneal_images = noise_anneal_images
        self.d_steps_per_g_step = d_steps_per_g_step

    def phases(self, model: nn.Module) -> tuple[Phase, ...]:
        if not (hasattr(model, "generator") and hasattr(model, "discriminator")):
            lacking = type(model).__name__
            raise ValueError(f"objective adversarial needs a generator and a discriminator, found none in {lacking}")
        players = cast(GANModel, model)
        return (
            Phase(
                "d",
                players.discriminator,
                lambda batch: unpack_losses(self.d_step_losses(players, batch), players.pack),
            ),
            Phase(
                "g",
                players.generator,
                lambda batch: unpack_losses(self.g_step_losses(players, batch), players.pack),
                self.d_steps_per_g_step,
            ),
        )

    def d_step_losses(self, model: GANModel, batch: Batch) -> StepLosses:
        with torch.no_grad():
            made = model.generator(batch.randn("z_d", model.latent), *label_args(model, batch)).float()
        x, made = (
            self.discriminator_input(model, batch, batch.x, "real_d"),
            self.discriminator_input(model, batch, made, "fake_d"),
        )
        passes = (x, made) if model.separate_passes else (torch.cat([x, made]),)
        real, fake = (
            torch.cat([self.discriminator_fn(model, batch)(seen) for seen in passes]).float().flatten().chunk(2)
        )
        loss = self.d_loss(real, fake)
        watch = {
            "loss_d": loss.detach(),
            "d_real": (real > 0).float(),
            "d_fake": (fake < 0).float(),
            "logit_gap": (real - fake).detach(),
        }
        if batch.step % self.lazy_reg_interval == 0:
            penalties = self.penalties(model, batch, x, made)
            loss = loss + self.lazy_reg_interval * sum(
                self.penalty_weights[name] * values for name, values in penalties.items()
            )
            watch |= {name: values.detach() for name, values in penalties.items()}
        return StepLosses(loss, watch)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """One-sided smoothing: a share of the real images is called fake (Salimans et al. 2016)."""
        share = self.label_smoothing
        if not share:
            return self.loss.d(real, fake)
        return (1 - share) * self.loss.d(real, fake) + share * self.loss.d(-real, fake)

    def penalties(self, model: GANModel, batch: Batch, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Those that have a weight, one value for each that D judges."""
        judge, share = self.discriminator_fn(model, batch), batch.rand("between")[:: model.pack]
        all_: dict[str, Callable[[], Tensor]] = {
            "r1": lambda: zero_centered_penalty(judge, real),
            "r2": lambda: zero_centered_penalty(judge, fake),
            "gradient_penalty": lambda: one_centered_penalty(judge, interpolate_images(real, fake, share)),
        }
        return {name: penalty() for name, penalty in all_.items() if self.penalty_weights[name]}

    def g_step_losses(self, model: GANModel, batch: Batch) -> StepLosses:
        made = model.generator(batch.randn("z_g", model.latent), *label_args(model, batch))
        fake = self.discriminator_logits(model, batch, made, "fake_g")
        with torch.no_grad():
            real = (
                self.discriminator_logits(model, batch, batch.x, "real_g")
                if self.loss.relativistic
                else torch.zeros_like(fake)
            )
        loss = self.loss.g(real, fake)
        return StepLosses(loss, {"loss_g": loss.detach()})

    def discriminator_logits(self, model: GANModel, batch: Batch, x: Tensor, noise_name: str) -> Tensor:
        return (
            self.discriminator_fn(model, batch)(self.discriminator_input(model, batch, x, noise_name)).float().flatten()
        )

    def discriminator_fn(self, model: GANModel, batch: Batch) -> Discriminator:
        """D, told the labels of the batch as often as its images repeat the batch."""
        return lambda x: model.discriminator(x, *(y.repeat(len(x) // len(y)) for y in label_args(model, batch)))

    def discriminator_input(self, model: GANModel, batch: Batch, x: Tensor, noise_name: str) -> Tensor:
        """Images as D sees them: noisy, in packs."""
        deviation = self.noise_std(batch.step * batch.global_size)
        if deviation:
            x = x + deviation * batch.randn(noise_name, *x.shape[1:])
        return pack_images(x, model.pack)

    def noise_std(self, images_seen: int) -> float:
        """The standard deviation of the instance noise."""
        return self.instance_noise * max(0.0, 1 - images_seen / self.noise_anneal_images)


Build = Adversarial
