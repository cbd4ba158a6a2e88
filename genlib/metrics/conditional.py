"""Does it make what it was asked for, and not always the same? For conditional samplers."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from genlib.metrics.inputs import Evidence, View
from genlib.metrics.registry import metric
from genlib.metrics.result import Measure, Undefined
from genlib.metrics.stats.intervals import GROUPS, jackknife, wilson

FEWEST = 3  # images of a class, so that two are left when one group is left out
ELEMENTS = 1 << 24


@metric(needs="asked", catches={"noise": "lower"})
def label_agreement(evidence: Evidence) -> Measure:
    """Share of generated images to which the judge gives the class that the model was asked for. Interval: Wilson.

    Its null is the judge's accuracy on as many real images, the most that a perfect model gets. One image per class,
    over and over, scores 1.
    """
    asked = cast(Tensor, evidence.made.labels)
    agreed = int((evidence.made.classes == asked).sum())
    low, high = wilson(agreed, evidence.n)
    return Measure(agreed / evidence.n, low, high, n=evidence.n, detail={"agreed": agreed})


@metric(needs="asked", minimum=40, better="real", catches={"collapse": "lower"})
def one_to_many(evidence: Evidence) -> Measure:
    """How far apart, in features, two images asked for one class are, over how far apart two test images of it are.

    Means over pairs of a class, then over classes; 0 where each class is one image, 1 as varied as real. After Zhu et
    al. 2017 (BicycleGAN), who take LPIPS for the distance. Interval: delete-group jackknife, groups within each class.
    """
    made, real = _by_class(evidence.made), _by_class(evidence.real)
    classes = sorted(made.keys() & real.keys())
    if not classes:
        raise Undefined(f"needs {FEWEST} generated and test images of one class")
    of_made, of_real = (torch.stack([spread(by[c]) for c in classes]).mean(0) for by in (made, real))
    if not of_real.all():
        raise Undefined("the test images of a class are all alike to the judge")
    value, *without = (of_made / of_real).tolist()
    low, high = jackknife(value, without)
    detail = {"made": of_made[0], "real": of_real[0], "classes": len(classes)}
    return Measure(value, max(0.0, low), high, n=evidence.n, detail=detail)


def _by_class(view: View) -> dict[int, Tensor]:
    """The features of each class that has enough images."""
    if view.labels is None:
        raise Undefined("the test images have no labels")
    counts = view.labels.bincount().tolist()
    return {c: view.features[view.labels == c] for c, count in enumerate(counts) if count >= FEWEST}


def _distances(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")  # 0 between equal rows


def spread(x: Tensor) -> Tensor:
    """Mean distance between two rows of x, float64 [1 + G]: of all, and with each of G groups left out."""
    x = x.double()
    group = torch.nn.functional.one_hot(torch.arange(len(x)) % GROUPS, GROUPS).double()
    rows = max(1, ELEMENTS // len(x))
    pairs = zip(torch.split(x, rows), torch.split(group, rows), strict=True)
    sums = torch.stack([own.T @ _distances(part, x) @ group for part, own in pairs]).sum(0)
    kept = 1 - torch.cat([torch.zeros(1, GROUPS), torch.eye(GROUPS)]).double()
    sizes = kept @ group.sum(0)
    return torch.einsum("kg,gh,kh->k", kept, sums, kept) / (sizes * (sizes - 1))
