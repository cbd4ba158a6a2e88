"""Adversarial training of a discriminator D and a generator G. A loss is two functions of the logits D(x) and D(G(z)),
paired by their place in the batch. Gradient penalties apply every `lazy_reg_interval` steps, with their weight
multiplied by it (Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN"). The logit of a pack of
images counts for each image of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor

from genlib.data.batches import Batch
from genlib.objectives.common.gan_losses import LOSSES, GANLossName
from genlib.objectives.common.phases import Objective, Phase, StepLosses
from genlib.validation import require_at_least, require_in_range, require_one_of


class GANModel(Protocol):
    conditional: bool
    separate_passes: bool
    latent: int
    pack: int
    generator: Callable[..., Tensor]
    discriminator: Callable[..., Tensor]


def pack_images(x: Tensor, pack: int) -> Tensor:
    """Consecutive images [n, C, H, W] side by side along their channels, [n / pack, pack C, H, W]."""
    if len(x) % pack:
        raise ValueError(f"pack: got {pack}, expected a divisor of the {len(x)} images of a worker's batch")
    return x.reshape(len(x) // pack, pack * x.shape[1], *x.shape[2:])


def losses_per_image(loss: Tensor, logged: Mapping[str, Tensor], pack: int) -> StepLosses:
    """Values of packs [n / pack] as values of their images [n]."""
    each = {name: values.repeat_interleave(pack) for name, values in logged.items()}
    return StepLosses(loss.repeat_interleave(pack), each)


@dataclass(kw_only=True, eq=False)
class Adversarial(Objective):
    """`r1`, `r2`, `gradient_penalty`: weights of the penalties. `label_smoothing`: share of the real images that D is
    trained to call fake (Salimans et al. 2016). `instance_noise`: standard deviation of the noise on all that D sees,
    which falls linearly to 0 at `noise_anneal_images` (Sønderby et al. 2016, "Amortised MAP inference")."""

    loss: GANLossName = "non_saturating"
    r1: float = 0.0
    r2: float = 0.0
    gradient_penalty: float = 0.0
    lazy_reg_interval: int = 1
    label_smoothing: float = 0.0
    instance_noise: float = 0.0
    noise_anneal_images: int = 100_000
    d_steps_per_g_step: int = 1
    needs = ("generator", "discriminator")

    def __post_init__(self) -> None:
        require_one_of(GANLossName, loss=self.loss)
        self.gan_loss = LOSSES[self.loss]
        self.penalty_weights = {"r1": self.r1, "r2": self.r2, "gradient_penalty": self.gradient_penalty}
        require_at_least(0, **self.penalty_weights, instance_noise=self.instance_noise)
        require_at_least(1, lazy_reg_interval=self.lazy_reg_interval, noise_anneal_images=self.noise_anneal_images)
        require_in_range(1, 101, d_steps_per_g_step=self.d_steps_per_g_step)
        require_in_range(0, 1, label_smoothing=self.label_smoothing)
        if self.label_smoothing and self.gan_loss.relativistic:
            raise ValueError(f"label_smoothing: got {self.label_smoothing}, expected 0 with the loss {self.loss}")

    def phases(self, model: Any) -> tuple[Phase, ...]:
        self.check(model)
        g = Phase("g", model.generator, partial(self.g_step_losses, model), self.d_steps_per_g_step)
        return Phase("d", model.discriminator, partial(self.d_step_losses, model)), g

    def d_step_losses(self, model: GANModel, batch: Batch) -> StepLosses:
        with torch.no_grad():
            generated = generate(model, batch, "z_d").float()
        x = self.discriminator_input(model, batch, batch.x, "real_d")
        generated = self.discriminator_input(model, batch, generated, "fake_d")
        passes = (x, generated) if model.separate_passes else (torch.cat([x, generated]),)
        logits = torch.cat([discriminator_fn(model, batch)(images) for images in passes])
        real, fake = logits.float().flatten().chunk(2)
        loss = self.d_loss(real, fake)
        d_real, d_fake = (real > 0).float(), (fake < 0).float()
        logged = {"loss_d": loss, "d_real": d_real, "d_fake": d_fake, "logit_gap": real - fake}
        if batch.step % self.lazy_reg_interval == 0:
            penalties = self.penalties(model, batch, x, generated)
            weighted = sum(self.penalty_weights[name] * values for name, values in penalties.items())
            loss = loss + self.lazy_reg_interval * weighted
            logged |= penalties
        return losses_per_image(loss, logged, model.pack)

    def d_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        share = self.label_smoothing
        if not share:
            return self.gan_loss.d(real, fake)
        return (1 - share) * self.gan_loss.d(real, fake) + share * self.gan_loss.d(-real, fake)

    def penalties(self, model: GANModel, batch: Batch, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        d, real_weight = discriminator_fn(model, batch), batch.rand("between")[:: model.pack]
        penalties: dict[str, Callable[[], Tensor]] = {
            "r1": lambda: zero_centered_penalty(d, real),
            "r2": lambda: zero_centered_penalty(d, fake),
            "gradient_penalty": lambda: one_centered_penalty(d, interpolate_images(real, fake, real_weight)),
        }
        return {name: penalty() for name, penalty in penalties.items() if self.penalty_weights[name]}

    def g_step_losses(self, model: GANModel, batch: Batch) -> StepLosses:
        fake = self.discriminator_logits(model, batch, generate(model, batch, "z_g"), "fake_g")
        real = torch.zeros_like(fake)
        if self.gan_loss.relativistic:
            with torch.no_grad():
                real = self.discriminator_logits(model, batch, batch.x, "real_g")
        loss = self.gan_loss.g(real, fake)
        return losses_per_image(loss, {"loss_g": loss}, model.pack)

    def discriminator_logits(self, model: GANModel, batch: Batch, x: Tensor, noise_name: str) -> Tensor:
        x = self.discriminator_input(model, batch, x, noise_name)
        return discriminator_fn(model, batch)(x).float().flatten()

    def discriminator_input(self, model: GANModel, batch: Batch, x: Tensor, noise_name: str) -> Tensor:
        """Images as D sees them: noisy, in packs."""
        if std := self.noise_std(batch.step * batch.global_size):
            x = x + std * batch.randn(noise_name, *x.shape[1:])
        return pack_images(x, model.pack)

    def noise_std(self, images_seen: int) -> float:
        return self.instance_noise * max(0.0, 1 - images_seen / self.noise_anneal_images)


def label_inputs(model: GANModel, batch: Batch) -> tuple[Tensor, ...]:
    return (batch.y,) if model.conditional else ()


def generate(model: GANModel, batch: Batch, noise_name: str) -> Tensor:
    return model.generator(batch.randn(noise_name, model.latent), *label_inputs(model, batch))


def discriminator_fn(model: GANModel, batch: Batch) -> Callable[[Tensor], Tensor]:
    """D with the labels of the batch, repeated as often as its images repeat the batch."""
    return lambda x: model.discriminator(x, *(y.repeat(len(x) // len(y)) for y in label_inputs(model, batch)))


def zero_centered_penalty(discriminator: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """||grad D(x)||^2 / 2 [n]: R1 at real, R2 at generated images (Mescheder, Geiger and Nowozin 2018)."""
    return input_gradient(discriminator, x).square().flatten(1).sum(1) / 2


def one_centered_penalty(discriminator: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """(||grad D(x)|| - 1)^2 [n], for points between real and generated images (Gulrajani et al. 2017, equation 3)."""
    lengths: Tensor = torch.linalg.vector_norm(input_gradient(discriminator, x).flatten(1), dim=1)
    return (lengths - 1).square()


def interpolate_images(real: Tensor, fake: Tensor, real_weight: Tensor) -> Tensor:
    """w real + (1 - w) fake, w = `real_weight` [n] in [0, 1]."""
    return torch.lerp(fake, real, real_weight[:, None, None, None])


def input_gradient(discriminator: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """grad D(x) [n, C, H, W], differentiable in the parameters of D, in float32: squares lose too much in bfloat16."""
    x = x.detach().float().requires_grad_()
    with torch.autocast("cuda" if x.is_cuda else "cpu", enabled=False):
        (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return gradient


Build = Adversarial
