"""Is every kind made, and as often as it should be? Kinds are the judge's classes, or k-means cells without labels."""

from __future__ import annotations

import torch
from torch import Tensor

from genlib.metrics.inputs import Evidence, View
from genlib.metrics.registry import metric
from genlib.metrics.result import Measure, Undefined
from genlib.metrics.stats.clustering import kinds
from genlib.metrics.stats.intervals import group_slices, jackknife

WELL = 20  # images of a kind from which on it is well covered


@metric(minimum=40)
def modes(evidence: Evidence) -> Measure:
    """Number of kinds that at least one generated image is of (Metz et al. 2017, on stacked digits).

    One image is little: `detail.well_covered` counts the kinds with 20. Interval: delete-group jackknife, which has
    width where some kinds are rare. It sees neither sameness within a kind nor what the images look like.
    """
    groups, real = by_kind(evidence, evidence.test)
    counts = groups.sum(0)
    value = float((counts > 0).sum())
    low, high = jackknife(value, ((counts - groups) > 0).sum(1).tolist())
    known = int((real > 0).sum())
    detail = {
        "kinds": "classes of the judge" if evidence.named else "k-means cells of the judge's features",
        "in_test": known,
        "well_covered": int((counts >= WELL).sum()),
        "counts": counts,
    }
    return Measure(value, max(1.0, low), min(high, max(value, known)), n=evidence.n, detail=detail)


@metric(minimum=40, better="lower", catches={"noise": "higher"})
def mode_kl(evidence: Evidence) -> Measure:
    """KL(p || q) = sum_k p_k log(p_k / q_k) in nats, p_k the share of kind k among generated images and q_k among
    training images (the convention of Lin et al. 2018, "PacGAN"): a kind that is not made costs little.

    Interval: delete-group jackknife over the generated images. Equal laws give about (K - 1) / 2 (1 / n + 1 / m) for n
    generated and m training images, `detail.bias`, and that is in the value.
    """
    groups, train = by_kind(evidence, evidence.train)
    counts = groups.sum(0)
    foreign = (counts > 0) & (train == 0)
    if foreign.any():
        raise Undefined(f"{int(counts[foreign].sum())} generated images are of kinds that no training image is of")
    value = divergence(counts, train)
    low, high = jackknife(value, [divergence(counts - group, train) for group in groups])
    freedom = int((train > 0).sum()) - 1
    bias = freedom / 2 * (1 / evidence.n + 1 / len(evidence.train))
    detail = {"direction": "KL(generated || training)", "unit": "nats", "bias": bias, "kinds": freedom + 1}
    return Measure(value, max(0.0, low), high, n=evidence.n, detail=detail)


def by_kind(evidence: Evidence, others: View) -> tuple[Tensor, Tensor]:
    """How many images of each of 20 groups of generated ones, int64 [20, K], and of `others`, [K], are of each kind."""
    kind = kinds(evidence)
    made, known = kind(evidence.made), kind(others)
    size = 1 + max(int(made.max()), int(known.max()))
    groups = torch.stack([made[group].bincount(minlength=size) for group in group_slices(len(made))])
    return groups, known.bincount(minlength=size)


def divergence(counts: Tensor, others: Tensor) -> float:
    """KL(p || q) in nats of the shares that two sets of counts [K] give."""
    p, q = counts.double() / counts.sum(), others.double() / others.sum()
    return max(0.0, float((torch.xlogy(p, p) - torch.xlogy(p, q)).sum()))
