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

from genlib.data.batches import Batch, seeded
from genlib.objectives.common.gan_losses import LOSSES, LossName
from genlib.objectives.common.phases import Objective, Terms, Turn
from genlib.validation import at_least, one_of

SURE = 1.0  # nats of cross-entropy below which the judge is heard
DOMAINS = ("a", "b")
Domains = Mapping[str, Tensor]  # by the domain that an image is in, or shall be


class Pool(Protocol):
    def exchange(self, fakes: Tensor, seen: int, draw: torch.Generator) -> Tensor: ...


class Translators(Protocol):
    g: nn.ModuleDict
    d: nn.ModuleDict
    pool: Mapping[str, Pool]
    judge: nn.Module | None


class Translation(Objective):
    """`cycle`, `identity`, `semantic`: weights beside the adversarial term's 1."""

    domains = "pair"

    def __init__(
        self,
        *,
        loss: LossName = "least_squares",
        cycle: float = 10.0,
        identity: float = 0.0,
        semantic: float = 0.0,
    ) -> None:
        one_of(LossName, loss=loss)
        at_least(0, cycle=cycle, identity=identity, semantic=semantic)
        self.loss = LOSSES[loss]
        self.weights = {"cycle": cycle, "identity": identity, "semantic": semantic}

    def turns(self, model: nn.Module) -> tuple[Turn, ...]:
        nets = cast(Translators, model)
        players = (
            Turn("d", nets.d, lambda batch: self.d_terms(nets, batch)),
            Turn("g", nets.g, lambda batch: self.g_terms(nets, batch)),
        )
        if nets.judge is not None:
            return (Turn("judge", nets.judge, lambda batch: judge_terms(nets, batch)), *players)
        if self.weights["semantic"]:
            raise ValueError(f"semantic must be 0 for a model without judge: true, found {self.weights['semantic']}")
        return players

    def d_terms(self, model: Translators, batch: Batch) -> Terms:
        real = images(batch)
        with torch.no_grad():
            fake = translated(model, real)
        losses, watch = [], {}
        for domain, made in fake.items():
            shown = pooled(model.pool[domain], made.float(), batch, domain)
            true, false = model.d[domain](torch.cat([real[domain], shown])).float().chunk(2)
            losses.append(per_image(self.loss.d(true, false)))
            watch[f"d_real_{domain}"] = per_image((true > 0).float())
            watch[f"d_fake_{domain}"] = per_image((false < 0).float())
        loss = torch.stack(losses).sum(0)
        return Terms(loss, {"loss_d": loss.detach(), **watch})

    def g_terms(self, model: Translators, batch: Batch) -> Terms:
        real = images(batch)
        fake = translated(model, real)
        loss = self.fooling(model, real, fake)
        watch = {"loss_g": loss.detach()}
        for name, term in self.ties(model, batch, real, fake).items():
            loss = loss + self.weights[name] * term
            watch[name] = term.detach()
        return Terms(loss, watch)

    def fooling(self, model: Translators, real: Domains, fake: Domains) -> Tensor:
        """The adversarial terms of both translators [n]; the real images count in a loss of pairs only."""
        total = torch.zeros(len(real["a"]), device=real["a"].device)
        for domain in DOMAINS:
            false = model.d[domain](fake[domain]).float()
            with torch.no_grad():
                true = model.d[domain](real[domain]).float() if self.loss.paired else torch.zeros_like(false)
            total = total + per_image(self.loss.g(true, false))
        return total

    def ties(self, model: Translators, batch: Batch, real: Domains, fake: Domains) -> dict[str, Tensor]:
        """What ties a translation to its source, as far as it has a weight: each [n], the sum of both ways."""
        found: dict[str, Callable[[], Tensor]] = {
            "cycle": lambda: distance(translated(model, fake), real),
            "identity": lambda: distance(kept(model, real), real),
            "semantic": lambda: sure(model, batch) * judged(model, fake, swapped(labels(batch))),
        }
        return {name: term() for name, term in found.items() if self.weights[name]}


def images(batch: Batch) -> Domains:
    return {"a": batch.x, "b": second(batch).x}


def labels(batch: Batch) -> Domains:
    return {"a": batch.y, "b": second(batch).y}


def second(batch: Batch) -> Batch:
    if batch.other is None:
        raise ValueError("translation needs the images of two domains")
    return batch.other


def swapped(values: Domains) -> Domains:
    """What belongs to a translation, by its domain, of what belongs to its source."""
    return {"a": values["b"], "b": values["a"]}


def translated(model: Translators, x: Domains) -> Domains:
    return {"a": model.g["ba"](x["b"]), "b": model.g["ab"](x["a"])}


def kept(model: Translators, x: Domains) -> Domains:
    """What each translator makes of an image that is in its own domain already."""
    return {"a": model.g["ba"](x["a"]), "b": model.g["ab"](x["b"])}


def distance(x: Domains, y: Domains) -> Tensor:
    """|x_a - y_a| + |x_b - y_b| [n]."""
    return sum((per_image((x[domain].float() - y[domain]).abs()) for domain in DOMAINS), torch.zeros(()))


def per_image(values: Tensor) -> Tensor:
    """The mean over all but the first dimension."""
    return values.flatten(1).mean(1)


def pooled(pool: Pool, fakes: Tensor, batch: Batch, domain: str) -> Tensor:
    """This rank's rows of what the pool gives for the fakes of all ranks together."""
    draw = seeded(batch.seed, batch.step, "pool", domain)
    return pool.exchange(batch.whole(fakes), batch.step * batch.size, draw)[batch.rows]


def judge_terms(model: Translators, batch: Batch) -> Terms:
    loss = judged(model, images(batch), labels(batch))
    return Terms(loss, {"loss_judge": loss.detach()})


def judged(model: Translators, x: Domains, y: Domains) -> Tensor:
    """The judge's cross-entropy [n], the mean of both domains."""
    judge = cast(nn.Module, model.judge)
    logits = judge(torch.cat([x["a"], x["b"]])).float()
    losses = F.cross_entropy(logits, torch.cat([y["a"], y["b"]]), reduction="none")
    return losses.view(2, -1).mean(0)


@torch.no_grad()
def sure(model: Translators, batch: Batch) -> Tensor:
    """1 once the judge's loss on the real images of this step is below `SURE`, else 0."""
    return (batch.whole(judged(model, images(batch), labels(batch))).mean() < SURE).float()


Build = Translation
