"""Membership inference: do the logits of the discriminator reveal its training images?"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from genlib.data.images import Images, StoredImages, chunk_length, concat_labels, to_float
from genlib.data.random import seeded_generator
from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.ranking import auroc
from genlib.models.layers.sampling import eval_mode, map_in_chunks

MAX_IMAGES = 10_000  # images of each kind


@metric(question=("Original?", 5), needs="discriminates", better="lower", bounds=(0, 1))
def membership_auc(inputs: MetricInputs) -> MetricResult:
    """P(D(x) > D(x')) + P(D(x) = D(x')) / 2 of a training image x and a held-out one x' (Hayes et al. 2019)."""
    logits = []
    for sets in ([inputs.train.images], [inputs.valid.images, inputs.test.images]):
        total = sum(map(len, sets))
        rows = torch.randperm(total, generator=seeded_generator(inputs.seed, "membership"))[:MAX_IMAGES]
        parts = torch.split(rows, chunk_length(sets[0].shape))
        logits.append(torch.cat([discriminator_logits(inputs.model, read_rows(sets, part)) for part in parts]))
    train, held_out = logits
    if min(len(train), len(held_out)) < 2:
        raise UndefinedMetric(f"needs at least 2 training and held-out images, found {len(train)} and {len(held_out)}")
    detail = {k: {"images": len(x), "mean": x.mean()} for k, x in (("train", train), ("held_out", held_out))}
    return MetricResult(*auroc(train, held_out), n=len(held_out), detail=detail)


def read_rows(sets: Sequence[StoredImages], rows: Tensor) -> Images:
    """Those rows of the sets, one after the other."""
    pixels, start = torch.empty(len(rows), *sets[0].shape, dtype=sets[0].pixels.dtype), 0
    for images in sets:
        here = (rows >= start) & (rows < start + len(images))
        pixels[here] = images.pixels[rows[here] - start]
        start += len(images)
    labels = concat_labels(sets)
    return Images(pixels, None if labels is None else labels[rows])


def discriminator_logits(model: Any, images: Images) -> Tensor:
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
