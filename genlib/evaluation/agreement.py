"""Does it make what it was asked for? For conditional samplers."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from genlib.evaluation.evidence import Evidence
from genlib.evaluation.intervals import wilson
from genlib.evaluation.measure import Measure
from genlib.evaluation.metric import metric


@metric(needs="asked")
def label_agreement(evidence: Evidence) -> Measure:
    """Share of generated images to which the judge gives the class that the model was asked for. Interval: Wilson.

    Its null is the judge's accuracy on as many real images, the most that a perfect model gets. One image per class,
    over and over, scores 1.
    """
    asked = cast(Tensor, evidence.made.labels)
    agreed = int((evidence.made.classes == asked).sum())
    low, high = wilson(agreed, evidence.n)
    return Measure(agreed / evidence.n, low, high, n=evidence.n, detail={"agreed": agreed})
