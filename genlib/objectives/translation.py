"""Unpaired translation with cycle consistency, and optionally a semantic loss.

With F: a -> b and G: b -> a, the translators minimise (Zhu et al. 2017)
    adversarial(F) + adversarial(G) + cycle (|G(F(a)) - a| + |F(G(b)) - b|) + identity (|F(b) - b| + |G(a) - a|),
|.| the mean absolute difference in [-1, 1]. The semantic term keeps the class: the cross-entropy between the label of
the source and `model.judge`, a classifier trained on the real images of both domains; it is off until that classifier's
own loss is below 1 (Hoffman et al. 2018, "CyCADA").
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.data.batches import Batch
from genlib.data.random import seeded_generator
from genlib.objectives.common.gan_losses import LOSSES, GANLossName
from genlib.objectives.common.phases import Objective, Phase, StepLosses
from genlib.validation import require_at_least, require_one_of

RELIABLE_CLASSIFIER_LOSS = 1.0  # nats of cross-entropy
ByDomain = Mapping[str, Tensor]  # "a" and "b": the domain that an image is in, or is translated to


@dataclass(kw_only=True, eq=False)
class Translation(Objective):
    """`cycle`, `identity`, `semantic`: weights beside the adversarial term's 1."""

    loss: GANLossName = "least_squares"
    cycle: float = 10.0
    identity: float = 0.0
    semantic: float = 0.0
    domains = "pair"
    needs = ("g", "d", "pool", "judge")
    whole_batch = "image pools take the translations of a whole batch"

    def __post_init__(self) -> None:
        require_one_of(GANLossName, loss=self.loss)
        self.gan_loss = LOSSES[self.loss]
        self.term_weights = {"cycle": self.cycle, "identity": self.identity, "semantic": self.semantic}
        require_at_least(0, **self.term_weights)

    def phases(self, model: Any) -> tuple[Phase, ...]:
        self.check(model)
        if self.semantic and model.judge is None:
            raise ValueError(f"semantic: got {self.semantic}, expected 0 for a model without judge: true")
        judge = Phase("judge", model.judge, partial(classifier_step_losses, model))
        d = Phase("d", model.d, partial(self.d_step_losses, model))
        g = Phase("g", model.g, partial(self.g_step_losses, model))
        return (d, g) if model.judge is None else (judge, d, g)

    def d_step_losses(self, model: Any, batch: Batch) -> StepLosses:
        real = domain_images(batch)
        with torch.no_grad():
            fake = translate_both(model, real)
        losses, logged = [], {}
        for domain, generated in fake.items():
            # this rank's rows of the pool's answer to the generated images of all ranks
            gathered, num_seen = batch.all_gather(generated.float()), batch.step * batch.global_size
            generator = seeded_generator(batch.seed, batch.step, "pool", domain)
            pooled = model.pool[domain].query(gathered, num_seen, generator)[batch.rank_rows]
            on_real, on_fake = model.d[domain](torch.cat([real[domain], pooled])).float().chunk(2)
            losses.append(mean_per_image(self.gan_loss.d(on_real, on_fake)))
            logged[f"d_real_{domain}"] = mean_per_image((on_real > 0).float())
            logged[f"d_fake_{domain}"] = mean_per_image((on_fake < 0).float())
        loss = torch.stack(losses).sum(0)
        return StepLosses(loss, {"loss_d": loss, **logged})

    def g_step_losses(self, model: Any, batch: Batch) -> StepLosses:
        real = domain_images(batch)
        fake = translate_both(model, real)
        loss = self.adversarial_loss(model, real, fake)
        logged = {"loss_g": loss}
        for name, term in self.consistency_losses(model, batch, real, fake).items():
            loss = loss + self.term_weights[name] * term
            logged[name] = term
        return StepLosses(loss, logged)

    def adversarial_loss(self, model: Any, real: ByDomain, fake: ByDomain) -> Tensor:
        """The adversarial terms of both translators [n]; the real images count in a relativistic loss only."""
        losses = []
        for domain in ("a", "b"):
            on_fake = model.d[domain](fake[domain]).float()
            with torch.no_grad():
                relativistic = self.gan_loss.relativistic
                on_real = model.d[domain](real[domain]).float() if relativistic else torch.zeros_like(on_fake)
            losses.append(mean_per_image(self.gan_loss.g(on_real, on_fake)))
        return torch.stack(losses).sum(0)

    def consistency_losses(self, model: Any, batch: Batch, real: ByDomain, fake: ByDomain) -> dict[str, Tensor]:
        """Each consistency term with a weight [n], summed over both directions."""
        terms = {}
        if self.cycle:
            terms["cycle"] = mean_absolute_distance(translate_both(model, fake), real)
        if self.identity:
            on_target = {"a": model.g["ba"](real["a"]), "b": model.g["ab"](real["b"])}
            terms["identity"] = mean_absolute_distance(on_target, real)
        if self.semantic:
            with torch.no_grad():
                judge_loss = batch.all_gather(classifier_step_losses(model, batch).loss).mean()
            a, b = domain_labels(batch).values()
            is_reliable = (judge_loss < RELIABLE_CLASSIFIER_LOSS).float()
            terms["semantic"] = is_reliable * classifier_cross_entropy(model, fake, {"a": b, "b": a})
        return terms


def domain_batches(batch: Batch) -> dict[str, Batch]:
    if batch.domain_b is None:
        raise ValueError("translation needs the images of two domains")
    return {"a": batch, "b": batch.domain_b}


def domain_images(batch: Batch) -> ByDomain:
    return {domain: each.x for domain, each in domain_batches(batch).items()}


def domain_labels(batch: Batch) -> ByDomain:
    return {domain: each.y for domain, each in domain_batches(batch).items()}


def translate_both(model: Any, x: ByDomain) -> ByDomain:
    return {"a": model.g["ba"](x["b"]), "b": model.g["ab"](x["a"])}


def mean_absolute_distance(x: ByDomain, y: ByDomain) -> Tensor:
    """|x_a - y_a| + |x_b - y_b| [n]."""
    return sum((mean_per_image((x[domain].float() - y[domain]).abs()) for domain in ("a", "b")), torch.zeros(()))


def mean_per_image(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1)


def classifier_step_losses(model: Any, batch: Batch) -> StepLosses:
    loss = classifier_cross_entropy(model, domain_images(batch), domain_labels(batch))
    return StepLosses(loss, {"loss_judge": loss})


def classifier_cross_entropy(model: Any, x: ByDomain, y: ByDomain) -> Tensor:
    """The classifier's cross-entropy [n], the mean of both domains."""
    logits = model.judge(torch.cat([x["a"], x["b"]])).float()
    losses = F.cross_entropy(logits, torch.cat([y["a"], y["b"]]), reduction="none")
    return losses.view(2, -1).mean(0)


Build = Translation
