"""The area under the ROC curve: P(positive's score > negative's) + P(tie) / 2."""

import torch
from torch import Tensor

from genlib.metrics.stats.intervals import Z, wilson


def auroc(positive: Tensor, negative: Tensor) -> tuple[float, float, float]:
    """The area with its interval (DeLong et al. 1988), from scores [m] and [n] of at least 2 each: the variance of the
    positives' placements among the negatives over m, plus the reverse over n. That is 0 where the two do not overlap;
    there it is Wilson's of as many disjoint pairs as there are, independent trials of the same chance."""
    above, below = _placements(positive, negative), 1 - _placements(negative, positive)
    area = float(above.mean())
    half = Z * float(above.var() / len(above) + below.var() / len(below)) ** 0.5
    if not half:
        pairs = min(len(above), len(below))
        return area, *wilson(round(area * pairs), pairs)
    return area, max(0.0, area - half), min(1.0, area + half)


def _placements(x: Tensor, among: Tensor) -> Tensor:
    """Of each x, the share of `among` below it, float64; equal ones count half."""
    ordered = among.sort().values
    counts = torch.searchsorted(ordered, x) + torch.searchsorted(ordered, x, right=True)
    return counts.double() / (2 * len(among))
