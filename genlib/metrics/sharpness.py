"""Are the images as sharp as real ones?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.metrics.inputs import CHUNK_SIZE, MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.intervals import group_slices, jackknife

LAPLACIAN = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])


@metric(min_images=20, better="real", must_detect={"noise": "higher"})
def sharpness(inputs: MetricInputs) -> MetricResult:
    """Mean variance of the Laplacian of generated images over that of test images (Pech-Pacheco et al. 2000).

    1 is as sharp as real, and best: blur lowers it, noise raises it. Interval: delete-group jackknife over both sets.
    Of pixels alone, without a judge; it does not see what is drawn.
    """
    x, y = (laplacian_variance(view.pixels) for view in (inputs.generated, inputs.real))
    if min(float(_drop_group(y, group).mean()) for group in group_slices(len(y))) == 0:
        raise UndefinedMetric("the test images are flat")
    value = float(x.mean() / y.mean())
    without = [float(_drop_group(x, group).mean() / _drop_group(y, group).mean()) for group in group_slices(len(x))]
    low, high = jackknife(value, without)
    return MetricResult(value, max(0.0, low), high, n=len(x), detail={"made": x.mean(), "real": y.mean()})


def _drop_group(values: Tensor, group: slice) -> Tensor:
    return torch.cat([values[: group.start], values[group.stop :]])


def laplacian_variance(pixels: Tensor) -> Tensor:
    """The variance of the Laplacian of each image, over its channels and all pixels but the border, float64 [n]; in
    squared grey levels."""
    channels, height, width = pixels.shape[1:]
    if min(height, width) < 3:
        raise UndefinedMetric(f"needs images of at least 3 x 3 pixels, found {height} x {width}")
    kernel = LAPLACIAN.expand(channels, 1, 3, 3)
    parts = [F.conv2d(part.float(), kernel, groups=channels).double() for part in torch.split(pixels, CHUNK_SIZE)]
    return torch.cat([part.flatten(1).var(1, correction=0) for part in parts])
