"""Modes: is every class (or k-means cluster, without classes) generated, and as often as in the data?"""

import torch
from torch import Tensor

from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, UndefinedMetric, metric, shortfall
from genlib.metrics.stats.intervals import normal_interval, score_interval

WELL_COVERED = 20  # images of a class from which on it is well covered


@metric(question=("Diverse?", 5), min_images=40, in_verdict=True, fault_share=shortfall, reference="train")
def modes(inputs: MetricInputs) -> MetricResult:
    """Number of classes, or clusters, with at least one generated image (Metz et al. 2017, on stacked digits)."""
    counts, real = count_by_cluster(inputs, inputs.test)
    value, in_test = float((counts > 0).sum()), int((real > 0).sum())
    low, high = normal_interval(value, variance_of_number(counts))
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
    in_verdict=True,
    reference="train",
    bounds=(0, float("inf")),
)
def mode_kl(inputs: MetricInputs) -> MetricResult:
    """KL(p || q) = sum_k p_k log(p_k / q_k) in nats, p_k the share of class k among generated images and q_k among
    training images (the convention of Lin et al. 2018, "PacGAN"): a missing class costs little."""
    counts, train = count_by_cluster(inputs, inputs.train)
    if foreign := int(counts[train == 0].sum()):
        raise UndefinedMetric(f"{foreign} generated images are of classes without a training image")
    n, freedom, value = inputs.n, int((train > 0).sum()) - 1, kl_of_counts(counts, train)
    low, high = score_interval(value, freedom / (2 * n), freedom / (2 * n**2), kl_variance(counts, train))
    bias = freedom / 2 * (1 / n + 1 / len(inputs.train))
    detail = {"direction": "KL(generated || training)", "unit": "nats", "bias": bias, "kinds": freedom + 1}
    return MetricResult(value, max(0.0, low), high, n=n, detail=detail)


def count_by_cluster(inputs: MetricInputs, others: FeatureSet) -> tuple[Tensor, Tensor]:
    """Images of each class among the generated ones, int64 [K], and among `others`."""
    cluster_of = inputs.classes_or_clusters()
    generated, known = cluster_of(inputs.generated), cluster_of(others)
    size = 1 + max(int(generated.max()), int(known.max()))
    return generated.bincount(minlength=size), known.bincount(minlength=size)


def variance_of_number(counts: Tensor) -> float:
    """sum_k m_k (1 - m_k), m_k = exp(-c_k) about the chance that a class of which c_k images were made is missed."""
    missed = torch.where(counts > 0, (-counts.double()).exp(), 0)
    return float((missed * (1 - missed)).sum())


def kl_of_counts(counts: Tensor, others: Tensor) -> float:
    """KL(p || q) in nats of the shares that two sets of counts [K] give."""
    p, q = counts.double() / counts.sum(), others.double() / others.sum()
    return max(0.0, float((torch.xlogy(p, p) - torch.xlogy(p, q)).sum()))


def kl_variance(counts: Tensor, others: Tensor) -> float:
    """By the influence of a generated image of class k, log(p_k / q_k): its variance over n. `others` are fixed."""
    seen, n = counts > 0, int(counts.sum())
    p = counts[seen].double() / n
    ratio = (p / (others[seen].double() / others.sum())).log()
    return float((p * ratio.square()).sum() - (p * ratio).sum().square()) / n
