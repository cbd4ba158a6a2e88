"""When are two images the same? When the judge gives them one class and finds them nearer than real ones ever are.

The threshold is set class by class on pairs of real held-out images, because one threshold for all classes would only
ever see the narrowest (the digit 1). Distances are float64 throughout, in bounded memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genlib.evaluation.evidence import View

ELEMENTS = 1 << 22


def _squares(x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(first row, squared distances [rows, n] to all of x), a few rows at a time."""
    x = x.double() - x.double().mean(0)
    norms = x.square().sum(1)
    rows = max(1, ELEMENTS // len(x))
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        products = torch.addmm(norms, part, x.T, alpha=-2) + norms[start : start + rows, None]
        yield start, products.clamp_(min=0)


def smallest_pairs(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` closest pairs of rows of x, or all there are: distances float64 [m] ascending, rows int64 [m, 2]."""
    best, pairs = torch.empty(0, dtype=torch.float64), torch.empty(0, 2, dtype=torch.long)
    for start, squares in _squares(x):
        rows = torch.arange(start, start + len(squares))
        squares[torch.arange(len(x)) <= rows[:, None]] = torch.inf
        found, flat = squares.flatten().topk(min(count, squares.numel()), largest=False)
        best, kept = torch.cat([best, found]).topk(min(count, len(best) + len(found)), largest=False)
        pairs = torch.cat([pairs, torch.stack([start + flat // len(x), flat % len(x)], 1)])[kept]
    real = best.isfinite()
    return best[real].sqrt(), pairs[real]


@dataclass(frozen=True)
class Sameness:
    """`radius` float64 [K]: two images of class c are the same when they are no farther apart than radius[c]."""

    radius: Tensor
    rate: float  # share of all pairs of real images that the radii call the same

    def partners(self, view: View) -> Tensor:
        """How many others in `view` each image is the same as, int64 [n]."""
        partners = torch.zeros(len(view), dtype=torch.long)
        for c, members in _by_class(view):
            counts = [(squares <= self.radius[c] ** 2).sum(1) for _, squares in _squares(view.features[members])]
            partners[members] = torch.cat(counts) - 1
        return partners

    def closest(self, view: View, count: int) -> tuple[Tensor, Tensor]:
        """The closest pairs of one class, in units of its radius: float64 [m] ascending, images int64 [m, 2]."""
        units, pairs = [torch.empty(0, dtype=torch.float64)], [torch.empty(0, 2, dtype=torch.long)]
        for c, members in _by_class(view):
            distances, rows = smallest_pairs(view.features[members], count)
            units.append(distances / self.radius[c].clamp(min=1e-12))
            pairs.append(members[rows])
        order = torch.cat(units).argsort(stable=True)[:count]
        return torch.cat(units)[order], torch.cat(pairs)[order]


def _by_class(view: View) -> Iterator[tuple[int, Tensor]]:
    classes = view.classes
    for c in range(view.probabilities.shape[1]):
        members = (classes == c).nonzero().squeeze(1)
        if len(members):
            yield c, members


def pair_count(n: int) -> int:
    return n * (n - 1) // 2


def calibrate(real: View, rate: float) -> Sameness:
    """Radii at which `rate` of all pairs of `real` are the same, equally likely in every class.

    Of the P_c pairs within class c the m_c closest pass, m_c / P_c alike for all c and at least one pair each; a class
    with fewer than two real images gets the smallest radius of the others.
    """
    sizes = {c: pair_count(len(members)) for c, members in _by_class(real)}
    within = rate * pair_count(len(real)) / max(1, sum(sizes.values()))
    radius = torch.full((real.probabilities.shape[1],), torch.inf, dtype=torch.float64)
    same = 0
    for c, members in _by_class(real):
        if sizes[c]:
            distances, _ = smallest_pairs(real.features[members], min(sizes[c], max(1, round(within * sizes[c]))))
            radius[c], same = distances[-1], same + len(distances)
    finite = radius.isfinite()
    radius[~finite] = radius[finite].min() if finite.any() else 0.0
    return Sameness(radius, same / max(1, pair_count(len(real))))
