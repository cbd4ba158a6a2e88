"""The area under the ROC curve: the chance that a positive's score exceeds a negative's, a tie counting half."""

from __future__ import annotations

import torch
from torch import Tensor

from genlib.evaluation.intervals import Z


def auroc(positive: Tensor, negative: Tensor) -> tuple[float, float, float]:
    """The area with its interval (DeLong et al. 1988), from scores [m] and [n] of at least 2 each.

    Its variance is that of the positives' placements among the negatives over m, plus the reverse over n. Where the
    two do not overlap that is 0.
    """
    above, below = _placements(positive, negative), 1 - _placements(negative, positive)
    area = float(above.mean())
    half = Z * float(above.var() / len(above) + below.var() / len(below)) ** 0.5
    return area, max(0.0, area - half), min(1.0, area + half)


def _placements(x: Tensor, among: Tensor) -> Tensor:
    """Of each x, the share of `among` below it, float64; equal ones count half."""
    ordered = among.sort().values
    counts = torch.searchsorted(ordered, x) + torch.searchsorted(ordered, x, right=True)
    return counts.double() / (2 * len(among))
