"""Does the discriminator know its training images? Membership inference by the logit it gives."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from genlib.data.batches import seeded_generator
from genlib.data.images import Images, to_float
from genlib.metrics.inputs import CHUNK_SIZE, MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.ranking import auroc

MAX_IMAGES = 10_000  # images of each kind


@metric(needs="discriminates", better="lower")
def membership_auc(inputs: MetricInputs) -> MetricResult:
    """P(D(x) > D(x')) + P(D(x) = D(x')) / 2 of a training image x and a held-out one x' (Hayes et al. 2019, "LOGAN").

    0.5 is chance, 1 a discriminator that knows every training image. Held out are valid and test; at most 10,000 images
    of each kind. A discriminator of packs is shown one image as often as it asks for, a conditional one is told the
    label. Interval: DeLong's. It speaks of D alone: what D knows, the generator need not copy.
    """
    model = cast(nn.Module, inputs.model)
    images = {"train": inputs.train.images, "held_out": inputs.valid.images + inputs.test.images}
    logit = {kind: discriminator_logits(model, _random_subset(part, inputs.seed)) for kind, part in images.items()}
    if min(map(len, logit.values())) < 2:
        found = " and ".join(str(len(values)) for values in logit.values())
        raise UndefinedMetric(f"needs at least 2 training and held-out images, found {found}")
    area, low, high = auroc(logit["train"], logit["held_out"])
    detail = {kind: {"images": len(values), "mean": values.mean()} for kind, values in logit.items()}
    return MetricResult(area, low, high, n=len(logit["held_out"]), detail=detail)


def _random_subset(images: Images, seed: int) -> Images:
    return images[torch.randperm(len(images), generator=seeded_generator(seed, "membership"))[:MAX_IMAGES]]


@torch.no_grad()
def discriminator_logits(model: nn.Module, images: Images) -> Tensor:
    """What the discriminator of `model` gives each image, float64 [n]."""
    told = getattr(model, "conditional", False)
    if told and images.labels is None:
        raise UndefinedMetric("the discriminator is told the class, and there are no labels")
    discriminator, pack = cast(nn.Module, model.discriminator), cast(int, model.pack)
    device, was_training = next(discriminator.parameters()).device, discriminator.training
    discriminator.eval()
    found = []
    for part in torch.split(torch.arange(len(images)), CHUNK_SIZE):
        some = images[part].to(device)
        x = to_float(some.pixels).repeat(1, pack, 1, 1)
        found.append(discriminator(x, some.labels) if told else discriminator(x))
    discriminator.train(was_training)
    return torch.cat(found).double().flatten().cpu()
