"""Sharpness relative to real images."""

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.data.pixels import Pixels, fill_rows, iter_pieces
from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.strata import variance_of_mean

LAPLACIAN = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])


def sharpness_ratio(inputs: MetricInputs) -> float:
    x, y = (images.per_image(edge_variance) for images in (inputs.generated, inputs.real))
    if not y.mean():
        raise UndefinedMetric("the test images are flat")
    return float(x.mean() / y.mean())


@metric(
    question=("Realistic?", 8),
    better="real",
    must_detect={"noise": "higher", "blurred": "lower"},
    in_verdict=True,
    statistic=sharpness_ratio,
    bounds=(0, float("inf")),
)
def sharpness(inputs: MetricInputs) -> MetricResult:
    """Mean variance of the Laplacian of generated images over that of test images (Pech-Pacheco et al. 2000)."""
    x, y = (images.per_image(edge_variance) for images in (inputs.generated, inputs.real))
    if not y.any():
        raise UndefinedMetric("the test images are flat")
    value = float(x.mean() / y.mean())
    variance = variance_of_mean(x) + value**2 * variance_of_mean(y, inputs.real.labels)
    return MetricResult.of_variance(
        value, variance / float(y.mean()) ** 2, n=len(x), at_least=0.0, made=x.mean(), real=y.mean()
    )


def edge_variance(images: FeatureSet) -> Tensor:
    return laplacian_variance(images.pixels)


def laplacian_variance(pixels: Pixels) -> Tensor:
    """Of each image uint8 [n, C, H, W], over channels and pixels but the border: float64 [n], squared grey levels."""
    channels, height, width = pixels.shape[1:]
    if min(height, width) < 3:
        raise UndefinedMetric(f"needs images of at least 3 x 3 pixels, found {height} x {width}")
    kernel = LAPLACIAN.expand(channels, 1, 3, 3)
    edges = (F.conv2d(piece.float(), kernel, groups=channels).double() for piece in iter_pieces(pixels))
    return fill_rows(((each.flatten(1).var(1, correction=0),) for each in edges), len(pixels))[0]
