"""Unpaired translation: look like the other domain, and let the way back lead to where you came from.

With F: a -> b and G: b -> a, the translators lower (Zhu et al. 2017)
    adversarial(F) + adversarial(G) + cycle (|G(F(a)) - a| + |F(G(b)) - b|) + identity (|F(b) - b| + |G(a) - a|),
|.| the mean absolute difference of intensities in [-1, 1]. None of it asks that a 3 become a 3. The semantic term does:
the cross-entropy of a judge, trained beside on the real images of both domains, with the label of the source (Hoffman
et al. 2018, "CyCADA"); as there, it is off until the judge's own loss is below 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.batches import Batch, seeded_generator
from genlib.objectives.common.gan_losses import LOSSES, GANLossName
from genlib.objectives.common.phases import Objective, Phase, StepLosses
from genlib.validation import require_at_least, require_one_of

RELIABLE_JUDGE_LOSS = 1.0  # nats of cross-entropy below which the judge is heard
DOMAINS = ("a", "b")
ByDomain = Mapping[str, Tensor]  # by the domain that an image is in, or shall be


class ImagePool(Protocol):
    def query(self, generated: Tensor, num_seen: int, generator: torch.Generator) -> Tensor: ...


class CycleGANModel(Protocol):
    g: nn.ModuleDict
    d: nn.ModuleDict
    pool: Mapping[str, ImagePool]
    judge: nn.Module | None


class Translation(Objective):
    """`cycle`, `identity`, `semantic`: weights beside the adversarial term's 1."""

    domains = "pair"

    def __init__(
        self,
        *,
        loss: GANLossName = "least_squares",
        cycle: float = 10.0,
        identity: float = 0.0,
        semantic: float = 0.0,
    ) -> None:
        require_one_of(GANLossName, loss=loss)
        require_at_least(0, cycle=cycle, identity=identity, semantic=semantic)
        self.loss = LOSSES[loss]
        self.term_weights = {"cycle": cycle, "identity": identity, "semantic": semantic}

    def phases(self, model: nn.Module) -> tuple[Phase, ...]:
        nets = cast(CycleGANModel, model)
        players = (
            Phase("d", nets.d, lambda batch: self.d_step_losses(nets, batch)),
            Phase("g", nets.g, lambda batch: self.g_step_losses(nets, batch)),
        )
        if nets.judge is not None:
            return (Phase("judge", nets.judge, lambda batch: judge_step_losses(nets, batch)), *players)
        if self.term_weights["semantic"]:
            raise ValueError(
                f"semantic must be 0 for a model without judge: true, found {self.term_weights['semantic']}"
            )
        return players

    def d_step_losses(self, model: CycleGANModel, batch: Batch) -> StepLosses:
        real = domain_images(batch)
        with torch.no_grad():
            fake = translate_both(model, real)
        losses, watch = [], {}
        for domain, made in fake.items():
            shown = query_pool(model.pool[domain], made.float(), batch, domain)
            true, false = model.d[domain](torch.cat([real[domain], shown])).float().chunk(2)
            losses.append(mean_per_image(self.loss.d(true, false)))
            watch[f"d_real_{domain}"] = mean_per_image((true > 0).float())
            watch[f"d_fake_{domain}"] = mean_per_image((false < 0).float())
        loss = torch.stack(losses).sum(0)
        return StepLosses(loss, {"loss_d": loss.detach(), **watch})

    def g_step_losses(self, model: CycleGANModel, batch: Batch) -> StepLosses:
        real = domain_images(batch)
        fake = translate_both(model, real)
        loss = self.adversarial_loss(model, real, fake)
        watch = {"loss_g": loss.detach()}
        for name, term in self.consistency_losses(model, batch, real, fake).items():
            loss = loss + self.term_weights[name] * term
            watch[name] = term.detach()
        return StepLosses(loss, watch)

    def adversarial_loss(self, model: CycleGANModel, real: ByDomain, fake: ByDomain) -> Tensor:
        """The adversarial terms of both translators [n]; the real images count in a loss of pairs only."""
        total = torch.zeros(len(real["a"]), device=real["a"].device)
        for domain in DOMAINS:
            false = model.d[domain](fake[domain]).float()
            with torch.no_grad():
                true = model.d[domain](real[domain]).float() if self.loss.relativistic else torch.zeros_like(false)
            total = total + mean_per_image(self.loss.g(true, false))
        return total

    def consistency_losses(
        self, model: CycleGANModel, batch: Batch, real: ByDomain, fake: ByDomain
    ) -> dict[str, Tensor]:
        """What ties a translation to its source, as far as it has a weight: each [n], the sum of both ways."""
        found: dict[str, Callable[[], Tensor]] = {
            "cycle": lambda: mean_absolute_distance(translate_both(model, fake), real),
            "identity": lambda: mean_absolute_distance(map_identity(model, real), real),
            "semantic": lambda: (
                judge_is_reliable(model, batch) * judge_cross_entropy(model, fake, swap_domains(domain_labels(batch)))
            ),
        }
        return {name: term() for name, term in found.items() if self.term_weights[name]}


def domain_images(batch: Batch) -> ByDomain:
    return {"a": batch.x, "b": second_batch(batch).x}


def domain_labels(batch: Batch) -> ByDomain:
    return {"a": batch.y, "b": second_batch(batch).y}


def second_batch(batch: Batch) -> Batch:
    if batch.domain_b is None:
        raise ValueError("translation needs the images of two domains")
    return batch.domain_b


def swap_domains(values: ByDomain) -> ByDomain:
    """What belongs to a translation, by its domain, of what belongs to its source."""
    return {"a": values["b"], "b": values["a"]}


def translate_both(model: CycleGANModel, x: ByDomain) -> ByDomain:
    return {"a": model.g["ba"](x["b"]), "b": model.g["ab"](x["a"])}


def map_identity(model: CycleGANModel, x: ByDomain) -> ByDomain:
    """What each translator makes of an image that is in its own domain already."""
    return {"a": model.g["ba"](x["a"]), "b": model.g["ab"](x["b"])}


def mean_absolute_distance(x: ByDomain, y: ByDomain) -> Tensor:
    """|x_a - y_a| + |x_b - y_b| [n]."""
    return sum((mean_per_image((x[domain].float() - y[domain]).abs()) for domain in DOMAINS), torch.zeros(()))


def mean_per_image(values: Tensor) -> Tensor:
    """The mean over all but the first dimension."""
    return values.flatten(1).mean(1)


def query_pool(pool: ImagePool, fakes: Tensor, batch: Batch, domain: str) -> Tensor:
    """This rank's rows of what the pool gives for the fakes of all ranks together."""
    draw = seeded_generator(batch.seed, batch.step, "pool", domain)
    return pool.query(batch.all_gather(fakes), batch.step * batch.global_size, draw)[batch.rank_rows]


def judge_step_losses(model: CycleGANModel, batch: Batch) -> StepLosses:
    loss = judge_cross_entropy(model, domain_images(batch), domain_labels(batch))
    return StepLosses(loss, {"loss_judge": loss.detach()})


def judge_cross_entropy(model: CycleGANModel, x: ByDomain, y: ByDomain) -> Tensor:
    """The judge's cross-entropy [n], the mean of both domains."""
    judge = cast(nn.Module, model.judge)
    logits = judge(torch.cat([x["a"], x["b"]])).float()
    losses = F.cross_entropy(logits, torch.cat([y["a"], y["b"]]), reduction="none")
    return losses.view(2, -1).mean(0)


@torch.no_grad()
def judge_is_reliable(model: CycleGANModel, batch: Batch) -> Tensor:
    """1 once the judge's loss on the real images of this step is below `SURE`, else 0."""
    return (
        batch.all_gather(judge_cross_entropy(model, domain_images(batch), domain_labels(batch))).mean()
        < RELIABLE_JUDGE_LOSS
    ).float()


Build = Translation
