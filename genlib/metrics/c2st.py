"""Classifier two-sample test: can a classifier tell generated images from real ones?"""

import torch

from genlib.metrics.base import MetricInputs, MetricResult, metric
from genlib.metrics.stats.intervals import wilson
from genlib.metrics.stats.neighbours import nearest


@metric(
    question=("Realistic?", 3),
    better="lower",
    must_detect={"stored": "higher", "collapse": "higher", "noise": "higher", "blurred": "higher"},
    in_verdict=True,
    fault_share=lambda accuracy, _: 2 * accuracy - 1,
    bounds=(0, 1),
)
def c2st(inputs: MetricInputs) -> MetricResult:
    """Classifier two-sample test (Lopez-Paz and Oquab 2017): the share of generated and test images of the same set as
    their nearest neighbour among all the others. 0.5 where the sets cannot be told apart, 1 where they can.

    Interval: Wilson at 2n / (1 + m) trials; images in mutually nearest pairs, a share m, err together (Schilling 1986).
    """
    n = inputs.n
    x = torch.cat([inputs.generated.features, inputs.real.features])
    rows = torch.arange(2 * n)
    neighbour = nearest(x, x, skip=rows)[1][:, 0]
    right, mutual = ((neighbour < n) == (rows < n)).double(), float((neighbour[neighbour] == rows).double().mean())
    value, trials = float(right.mean()), 2 * n / (1 + mutual)
    detail = {"made": right[:n].mean(), "real": right[n:].mean(), "mutual": mutual}
    return MetricResult(value, *wilson(value * trials, trials), n=n, detail=detail)
