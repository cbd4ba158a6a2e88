"""Membership inference: do the logits of the discriminator reveal its training images?"""

from typing import Any

import torch
from torch import Tensor

from genlib.data.images import Images, to_float
from genlib.data.random import seeded_generator
from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.ranking import auroc
from genlib.models.layers.sampling import eval_mode, map_in_chunks

MAX_IMAGES = 10_000  # images of each kind


@metric(
    summary="P(D(x) > D(x')) + P(D(x) = D(x')) / 2 of a training image x and a held-out one x' (Hayes et al. 2019, "
    '"LOGAN").',
    question=("Copied?", 5),
    needs="discriminates",
    better="lower",
)
def membership_auc(inputs: MetricInputs) -> MetricResult:
    """0.5 is chance. Held out are valid and test; a discriminator of packs is shown one image as often as it asks for.
    What D knows, the generator need not copy. Interval: DeLong's."""
    images = {"train": inputs.train.images, "held_out": inputs.valid.images + inputs.test.images}
    logits = {
        kind: discriminator_logits(inputs.model, _random_subset(part, inputs.seed)) for kind, part in images.items()
    }
    if min(map(len, logits.values())) < 2:
        found = " and ".join(str(len(values)) for values in logits.values())
        raise UndefinedMetric(f"needs at least 2 training and held-out images, found {found}")
    detail = {kind: {"images": len(values), "mean": values.mean()} for kind, values in logits.items()}
    return MetricResult(*auroc(logits["train"], logits["held_out"]), n=len(logits["held_out"]), detail=detail)


def _random_subset(images: Images, seed: int) -> Images:
    return images[torch.randperm(len(images), generator=seeded_generator(seed, "membership"))[:MAX_IMAGES]]


def discriminator_logits(model: Any, images: Images) -> Tensor:
    """Logits of the discriminator of `model`, float64 [n]."""
    is_conditional = getattr(model, "conditional", False)
    if is_conditional and images.labels is None:
        raise UndefinedMetric("the discriminator needs the class, and there are no labels")
    device = next(model.discriminator.parameters()).device

    def discriminate(pixels: Tensor, *labels: Tensor) -> Tensor:
        packs = to_float(pixels.to(device)).repeat(1, model.pack, 1, 1)
        logits: Tensor = model.discriminator(packs, *(y.to(device) for y in labels))
        return logits

    with eval_mode(model.discriminator):
        sets = (images.pixels, images.labels) if is_conditional and images.labels is not None else (images.pixels,)
        return map_in_chunks(discriminate, *sets).double().flatten().cpu()
