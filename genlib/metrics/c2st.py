"""Can generated images be told from real ones? A classifier is asked."""

from __future__ import annotations

import torch

from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult
from genlib.metrics.stats.intervals import wilson
from genlib.metrics.stats.neighbours import nearest


@metric(min_images=20, better="lower", must_detect={"stored": "higher", "collapse": "higher", "noise": "higher"})
def c2st(inputs: MetricInputs) -> MetricResult:
    """Classifier two-sample test (Lopez-Paz and Oquab 2017): the share of generated and test images of the same kind as
    their nearest neighbour among all the others. 0.5 where the kinds cannot be told, 1 where they can.

    `detail.made` and `detail.real` are its halves (Xu et al. 2018): where the generated ones alone have a high share,
    they lie nearer to each other than to real ones, as when few are made again and again. Below 0.5 they lie on the
    test images themselves. Interval: Wilson at 2n / (1 + m) trials, m the share of images that are nearest to the one
    nearest to them, for such pairs err together (Schilling 1986).
    """
    n = inputs.n
    x = torch.cat([inputs.generated.features, inputs.real.features])
    rows = torch.arange(2 * n)
    neighbour = nearest(x, x, skip=rows)[1][:, 0]
    right = ((neighbour < n) == (rows < n)).double()
    mutual = float((neighbour[neighbour] == rows).double().mean())
    value, trials = float(right.mean()), 2 * n / (1 + mutual)
    low, high = wilson(value * trials, trials)
    detail = {"made": right[:n].mean(), "real": right[n:].mean(), "mutual": mutual}
    return MetricResult(value, low, high, n=n, detail=detail)
