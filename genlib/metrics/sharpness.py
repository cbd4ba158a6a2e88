"""Are the images as sharp as real ones?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.metrics.inputs import CHUNK, Evidence
from genlib.metrics.registry import metric
from genlib.metrics.result import Measure, Undefined
from genlib.metrics.stats.intervals import group_slices, jackknife

LAPLACE = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])


@metric(minimum=20, better="real", catches={"noise": "higher"})
def sharpness(evidence: Evidence) -> Measure:
    """Mean variance of the Laplacian of generated images over that of test images (Pech-Pacheco et al. 2000).

    1 is as sharp as real, and best: blur lowers it, noise raises it. Interval: delete-group jackknife over both sets.
    Of pixels alone, without a judge; it does not see what is drawn.
    """
    x, y = (edges(view.pixels) for view in (evidence.made, evidence.real))
    if min(float(_without(y, group).mean()) for group in group_slices(len(y))) == 0:
        raise Undefined("the test images are flat")
    value = float(x.mean() / y.mean())
    without = [float(_without(x, group).mean() / _without(y, group).mean()) for group in group_slices(len(x))]
    low, high = jackknife(value, without)
    return Measure(value, max(0.0, low), high, n=len(x), detail={"made": x.mean(), "real": y.mean()})


def _without(values: Tensor, group: slice) -> Tensor:
    return torch.cat([values[: group.start], values[group.stop :]])


def edges(pixels: Tensor) -> Tensor:
    """The variance of the Laplacian of each image, over its channels and all pixels but the border, float64 [n]; in
    squared grey levels."""
    channels, height, width = pixels.shape[1:]
    if min(height, width) < 3:
        raise Undefined(f"needs images of at least 3 x 3 pixels, found {height} x {width}")
    kernel = LAPLACE.expand(channels, 1, 3, 3)
    parts = [F.conv2d(part.float(), kernel, groups=channels).double() for part in torch.split(pixels, CHUNK)]
    return torch.cat([part.flatten(1).var(1, correction=0) for part in parts])
