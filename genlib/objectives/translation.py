"""Unpaired translation with cycle consistency, and optionally a semantic loss.

With F: a -> b and G: b -> a, the translators minimise (Zhu et al. 2017)
    adversarial(F) + adversarial(G) + cycle (|G(F(a)) - a| + |F(G(b)) - b|) + identity (|F(b) - b| + |G(a) - a|),
|.| the mean absolute difference in [-1, 1]. The semantic term keeps the class: the cross-entropy between the label of
the source and `model.judge`, a classifier trained on the real images of both domains; it is off until that classifier's
own loss is below 1 (Hoffman et al. 2018, "CyCADA").
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.batches import Batch
from genlib.data.random import seeded_generator
from genlib.objectives.common.gan_losses import LOSSES, GANLossName
from genlib.objectives.common.phases import Objective, Phase, StepLosses
from genlib.validation import require_at_least, require_one_of

RELIABLE_CLASSIFIER_LOSS = 1.0  # nats of cross-entropy
ByDomain = Mapping[str, Tensor]  # "a" and "b": the domain that an image is in, or is translated to


class ImagePool(Protocol):
    def query(self, generated: Tensor, num_seen: int, generator: torch.Generator) -> Tensor: ...


class CycleGANModel(Protocol):
    g: nn.ModuleDict
    d: nn.ModuleDict
    pool: Mapping[str, ImagePool]
    judge: nn.Module


@dataclass(kw_only=True, eq=False)
class Translation(Objective):
    """`cycle`, `identity`, `semantic`: weights beside the adversarial term's 1."""

    loss: GANLossName = "least_squares"
    cycle: float = 10.0
    identity: float = 0.0
    semantic: float = 0.0
    domains = "pair"
    needs = ("g", "d", "pool", "judge")

    def __post_init__(self) -> None:
        require_one_of(GANLossName, loss=self.loss)
        self.gan_loss = LOSSES[self.loss]
        self.term_weights = {"cycle": self.cycle, "identity": self.identity, "semantic": self.semantic}
        require_at_least(0, **self.term_weights)

    def phases(self, model: Any) -> tuple[Phase, ...]:
        self.check(model)
        if self.semantic and model.judge is None:
            raise ValueError(f"semantic: got {self.semantic}, expected 0 for a model without judge: true")
        classifier = (
            [] if model.judge is None else [Phase("judge", model.judge, partial(classifier_step_losses, model))]
        )
        d = Phase("d", model.d, partial(self.d_step_losses, model))
        return *classifier, d, Phase("g", model.g, partial(self.g_step_losses, model))

    def d_step_losses(self, model: CycleGANModel, batch: Batch) -> StepLosses:
        real = domain_images(batch)
        with torch.no_grad():
            fake = translate_both(model, real)
        losses, logged = [], {}
        for domain, generated in fake.items():
            pooled = query_pool(model.pool[domain], generated.float(), batch, domain)
            on_real, on_fake = model.d[domain](torch.cat([real[domain], pooled])).float().chunk(2)
            losses.append(mean_per_image(self.gan_loss.d(on_real, on_fake)))
            logged[f"d_real_{domain}"] = mean_per_image((on_real > 0).float())
            logged[f"d_fake_{domain}"] = mean_per_image((on_fake < 0).float())
        loss = torch.stack(losses).sum(0)
        return StepLosses(loss, {"loss_d": loss, **logged})

    def g_step_losses(self, model: CycleGANModel, batch: Batch) -> StepLosses:
        real = domain_images(batch)
        fake = translate_both(model, real)
        loss = self.adversarial_loss(model, real, fake)
        logged = {"loss_g": loss}
        for name, term in self.consistency_losses(model, batch, real, fake).items():
            loss = loss + self.term_weights[name] * term
            logged[name] = term
        return StepLosses(loss, logged)

    def adversarial_loss(self, model: CycleGANModel, real: ByDomain, fake: ByDomain) -> Tensor:
        """The adversarial terms of both translators [n]; the real images count in a relativistic loss only."""
        total = torch.zeros(len(real["a"]), device=real["a"].device)
        for domain in ("a", "b"):
            on_fake = model.d[domain](fake[domain]).float()
            with torch.no_grad():
                relativistic = self.gan_loss.relativistic
                on_real = model.d[domain](real[domain]).float() if relativistic else torch.zeros_like(on_fake)
            total = total + mean_per_image(self.gan_loss.g(on_real, on_fake))
        return total

    def consistency_losses(
        self, model: CycleGANModel, batch: Batch, real: ByDomain, fake: ByDomain
    ) -> dict[str, Tensor]:
        """Each consistency term with a weight [n], summed over both directions."""

        def semantic() -> Tensor:
            a, b = domain_labels(batch).values()
            return classifier_is_reliable(model, batch) * classifier_cross_entropy(model, fake, {"a": b, "b": a})

        terms: dict[str, Callable[[], Tensor]] = {
            "cycle": lambda: mean_absolute_distance(translate_both(model, fake), real),
            "identity": lambda: mean_absolute_distance(map_identity(model, real), real),
            "semantic": semantic,
        }
        return {name: term() for name, term in terms.items() if self.term_weights[name]}


def domain_batches(batch: Batch) -> dict[str, Batch]:
    if batch.domain_b is None:
        raise ValueError("translation needs the images of two domains")
    return {"a": batch, "b": batch.domain_b}


def domain_images(batch: Batch) -> ByDomain:
    return {domain: each.x for domain, each in domain_batches(batch).items()}


def domain_labels(batch: Batch) -> ByDomain:
    return {domain: each.y for domain, each in domain_batches(batch).items()}


def translate_both(model: CycleGANModel, x: ByDomain) -> ByDomain:
    return {"a": model.g["ba"](x["b"]), "b": model.g["ab"](x["a"])}


def map_identity(model: CycleGANModel, x: ByDomain) -> ByDomain:
    """Each translator applied to images of its target domain."""
    return {"a": model.g["ba"](x["a"]), "b": model.g["ab"](x["b"])}


def mean_absolute_distance(x: ByDomain, y: ByDomain) -> Tensor:
    """|x_a - y_a| + |x_b - y_b| [n]."""
    return sum((mean_per_image((x[domain].float() - y[domain]).abs()) for domain in ("a", "b")), torch.zeros(()))


def mean_per_image(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1)


def query_pool(pool: ImagePool, generated: Tensor, batch: Batch, domain: str) -> Tensor:
    """This rank's rows of the pool's answer to the generated images of all ranks."""
    generator = seeded_generator(batch.seed, batch.step, "pool", domain)
    return pool.query(batch.all_gather(generated), batch.step * batch.global_size, generator)[batch.rank_rows]


def classifier_step_losses(model: CycleGANModel, batch: Batch) -> StepLosses:
    loss = classifier_cross_entropy(model, domain_images(batch), domain_labels(batch))
    return StepLosses(loss, {"loss_judge": loss})


def classifier_cross_entropy(model: CycleGANModel, x: ByDomain, y: ByDomain) -> Tensor:
    """The classifier's cross-entropy [n], the mean of both domains."""
    logits = model.judge(torch.cat([x["a"], x["b"]])).float()
    losses = F.cross_entropy(logits, torch.cat([y["a"], y["b"]]), reduction="none")
    return losses.view(2, -1).mean(0)


@torch.no_grad()
def classifier_is_reliable(model: CycleGANModel, batch: Batch) -> Tensor:
    """1 where the classifier's loss on the real images of this step is below RELIABLE_CLASSIFIER_LOSS, else 0."""
    loss = batch.all_gather(classifier_cross_entropy(model, domain_images(batch), domain_labels(batch))).mean()
    return (loss < RELIABLE_CLASSIFIER_LOSS).float()


Build = Translation
