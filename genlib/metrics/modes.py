"""Modes: is every class (or k-means cluster, without classes) generated, and as often as in the data?"""

import torch
from torch import Tensor

from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, UndefinedMetric, metric, shortfall
from genlib.metrics.stats.intervals import group_slices, jackknife

WELL_COVERED = 20  # images of a class from which on it is well covered


@metric(question=("Diverse?", 5), min_images=40, verdict=("modes", shortfall), reference="train")
def modes(inputs: MetricInputs) -> MetricResult:
    """Number of classes, or clusters, with at least one generated image (Metz et al. 2017, on stacked digits)."""
    groups, real = count_by_cluster(inputs, inputs.test)
    counts = groups.sum(0)
    value, in_test = float((counts > 0).sum()), int((real > 0).sum())
    low, high = jackknife(value, ((counts - groups) > 0).sum(1).tolist())
    detail = {
        "kinds": "classes of the classifier" if inputs.has_class_names else "k-means clusters of the features",
        "in_test": in_test,
        "well_covered": int((counts >= WELL_COVERED).sum()),
        "counts": counts,
    }
    return MetricResult(value, max(1.0, low), min(high, max(value, in_test)), n=inputs.n, detail=detail)


@metric(
    question=("Diverse?", 6),
    better="lower",
    min_images=40,
    must_detect={"noise": "higher"},
    verdict=("modes", None),
    reference="train",
)
def mode_kl(inputs: MetricInputs) -> MetricResult:
    """KL(p || q) = sum_k p_k log(p_k / q_k) in nats, p_k the share of class k among generated images and q_k among
    training images (the convention of Lin et al. 2018, "PacGAN"): a missing class costs little."""
    groups, train = count_by_cluster(inputs, inputs.train)
    counts = groups.sum(0)
    if foreign := int(counts[train == 0].sum()):
        raise UndefinedMetric(f"{foreign} generated images are of classes without a training image")
    values = [kl_of_counts(counts, train), *(kl_of_counts(counts - group, train) for group in groups)]
    freedom = int((train > 0).sum()) - 1
    bias = freedom / 2 * (1 / inputs.n + 1 / len(inputs.train))
    detail = {"direction": "KL(generated || training)", "unit": "nats", "bias": bias, "kinds": freedom + 1}
    return MetricResult.of_jackknife(values, n=inputs.n, at_least=0.0, **detail)


def count_by_cluster(inputs: MetricInputs, others: FeatureSet) -> tuple[Tensor, Tensor]:
    """Images of each class among each of 20 groups of generated ones, int64 [20, K], and among `others`, [K]."""
    cluster_of = inputs.classes_or_clusters()
    generated, known = cluster_of(inputs.generated), cluster_of(others)
    size = 1 + max(int(generated.max()), int(known.max()))
    groups = torch.stack([generated[group].bincount(minlength=size) for group in group_slices(len(generated))])
    return groups, known.bincount(minlength=size)


def kl_of_counts(counts: Tensor, others: Tensor) -> float:
    """KL(p || q) in nats of the shares that two sets of counts [K] give."""
    p, q = counts.double() / counts.sum(), others.double() / others.sum()
    return max(0.0, float((torch.xlogy(p, p) - torch.xlogy(p, q)).sum()))
