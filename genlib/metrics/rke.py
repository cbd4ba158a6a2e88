"""RKE: the effective number of modes by a kernel, the order-2 Renyi entropy of its matrix."""

from typing import NamedTuple

import torch
from torch import Tensor

from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.intervals import Z
from genlib.metrics.stats.partitions import draw_rows

CHUNK_ELEMENTS = 1 << 22  # kernel values held at once
MAX_ROWS = 2000  # of test images, of whose distances the median is taken
BANDWIDTH_SHARE = 0.25  # of that median; images that far apart have a kernel of exp(-8)


@metric(question=("Diverse?", 9), min_images=40, must_detect={"collapse": "lower"}, reference="none")
def rke(inputs: MetricInputs) -> MetricResult:
    """exp of the order-2 Renyi entropy of K/n, that is 1 / mean_ij k(x_i, x_j)^2, k the Gaussian kernel (Jalali, Li and
    Farnia 2023): the effective number of modes, from 1 to n. Its width is a quarter of the median distance between two
    test images."""
    width = kernel_width(inputs.real.features)
    found = kernel_moments(inputs.generated.features, width)
    ratio = float((Z * found.variance**0.5 / found.mean).exp())
    value, n = float(1 / found.mean), inputs.n
    return MetricResult(value, max(1.0, value / ratio), min(float(n), value * ratio), n=n, detail={"bandwidth": width})


def kernel_width(y: Tensor) -> float:
    """Of features [n, d] of test images. Raises UndefinedMetric where most of them are the same."""
    distances = torch.pdist(y[draw_rows(y, MAX_ROWS)].double())
    width = BANDWIDTH_SHARE * float(distances.median())
    if not width:
        raise UndefinedMetric("most test images have the same features")
    return width


class KernelMoments(NamedTuple):
    """The mean of k^2 over all pairs, an image with itself too, and its variance; float64 []."""

    mean: Tensor
    variance: Tensor


def kernel_moments(x: Tensor, width: float) -> KernelMoments:
    """Of features [n, d], k(x, y)^2 = exp(-||x - y||^2 / width^2).

    U, the mean h of the squares over pairs of different images, has the variance [4 (n - 2) z1 + 2 z2] / n (n - 1)
    (Hoeffding 1948), z1 = E h(x, y) h(x, z) - U^2 and z2 = E h^2 - U^2; V = (1 + (n - 1) U) / n."""
    x, n = x.double() - x.double().mean(0), len(x)
    sums, squares = torch.zeros(2, n, dtype=torch.float64)
    step = max(1, CHUNK_ELEMENTS // n)
    for part in torch.split(torch.arange(n), step):
        h = (-torch.cdist(x[part], x).square() / width**2).exp()
        h[torch.arange(len(part)), part] = 0
        sums[part], squares[part] = h.sum(1), h.square().sum(1)
    pairs = n * (n - 1)
    mean, second = sums.sum() / pairs, squares.sum() / pairs
    shared = (sums.square() - squares).sum() / (pairs * (n - 2))
    z1, z2 = (shared - mean**2).clamp(min=0), (second - mean**2).clamp(min=0)
    variance = (4 * (n - 2) * z1 + 2 * z2) / pairs
    return KernelMoments((1 + (n - 1) * mean) / n, variance * ((n - 1) / n) ** 2)
