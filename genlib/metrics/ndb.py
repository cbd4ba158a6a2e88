"""Number of statistically different bins (NDB)."""

import math

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, metric
from genlib.metrics.stats.clustering import assign_clusters, kmeans_of_subset
from genlib.metrics.stats.intervals import Z

MAX_BINS = 100
MIN_PER_BIN = 20  # generated images to a bin, on average, at least
STANDARD_ERRORS = 3.0


@metric(
    question=("Diverse?", 7),
    better="lower",
    min_images=2 * MIN_PER_BIN,
    must_detect={"collapse": "higher", "noise": "higher"},
    in_verdict=True,
    reference="train",
)
def ndb(inputs: MetricInputs) -> MetricResult:
    """Number of k-means bins of the training images whose share of generated images is more than three standard errors
    from their share of training images (Richardson and Weiss 2018); 0.3 of 100 for equal distributions."""
    generated, train, n, m = inputs.generated.features, inputs.train.features, inputs.n, len(inputs.train)
    centres = kmeans_of_subset(train, min(MAX_BINS, n // MIN_PER_BIN), inputs.seed, "bins")
    k = len(centres)
    counts, known = (assign_clusters(x, centres).bincount(minlength=k) for x in (generated, train))
    value, low, high = count_different_bins(bin_z_scores(counts, known))
    detail = {"bins": k, "share": value / k, "standard_errors": STANDARD_ERRORS}
    detail |= {"js": jensen_shannon(counts, known), "js_bias": (k - 1) / 8 * (1 / n + 1 / m)}
    return MetricResult(value, low, high, n=n, detail=detail)


def bin_z_scores(counts: Tensor, others: Tensor) -> Tensor:
    """z of the two-sample test of each bin's share, float64 [K], from two sets of counts [K]:
    (p - q) / sqrt(r (1 - r) (1 / n + 1 / m)), r the share of both together."""
    n, m = counts.sum(), others.sum()
    r = (counts + others).double() / (n + m)
    error = (r * (1 - r) * (1 / n + 1 / m)).sqrt()
    return (counts / n - others / m).double() / error.clamp(min=1e-12)


def count_different_bins(z: Tensor) -> tuple[float, float, float]:
    """Bins with |z| > 3, +- 1.96 sqrt(sum_k c_k (1 - c_k)), c_k the chance that a z about the measured one is."""
    value = float((z.abs() > STANDARD_ERRORS).sum())
    chance = torch.special.ndtr(z - STANDARD_ERRORS) + torch.special.ndtr(-z - STANDARD_ERRORS)
    half = Z * math.sqrt(float((chance * (1 - chance)).sum()))
    return value, max(0.0, value - half), min(float(len(z)), value + half)


def jensen_shannon(counts: Tensor, others: Tensor) -> float:
    """(KL(p || r) + KL(q || r)) / 2 in nats, r = (p + q) / 2, of the shares that two sets of counts [K] give."""
    p, q = counts.double() / counts.sum(), others.double() / others.sum()
    entropy = torch.special.entr(torch.stack([(p + q) / 2, p, q])).sum(1)
    return max(0.0, float(entropy[0] - (entropy[1] + entropy[2]) / 2))
