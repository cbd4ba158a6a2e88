"""How much metrics of balls vary with the draw of both sets: their values on random halves.

Leaving out single images, or groups of them, overstates it up to four times: one image bounds the balls of many others.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Self

import torch
from torch import Tensor

from genlib.metrics.stats.partitions import draw_rows, random_parts, variance_between

NEAREST_K = 5
MAX_ROWS = 2000  # of each set, that are halved
MAX_NEIGHBOURS = 64  # of which at least five others are in the half, but for one time in 10^11
HALVINGS = 50
NAMES = ("precision", "recall", "density", "coverage", "clipped_density", "clipped_coverage")


@dataclass(frozen=True)
class OverlapOfHalves:
    """`values` float64 [halvings, 2, metrics] of halves of m images, those of clipped metrics before the last clip."""

    values: Tensor
    m: int

    def variance(self, name: str, n: int) -> float:
        """Of the mean over n images."""
        return variance_between(self._of(name)) * self.m / n

    def trials(self, name: str, n: int) -> float:
        """How many independent trials a share of n images is worth: p (1 - p) / variance, at most n."""
        values = self._of(name)
        share, variance = float(values.mean()), variance_between(values)
        return n * min(1.0, share * (1 - share) / (variance * self.m)) if variance else n

    def _of(self, name: str) -> Tensor:
        return self.values[..., NAMES.index(name)]


@lru_cache(maxsize=8)  # six metrics ask
def overlap_of_halves(x: Tensor, y: Tensor, strata: Tensor | None) -> OverlapOfHalves:
    """Of features [n, d] of generated images and of the first n test images, of which halves have the same class mix
    where these have classes, int64 [n or more]."""
    strata = None if strata is None else strata[: len(x)]
    i, j = draw_rows(x, MAX_ROWS), draw_rows(y[: len(x)], MAX_ROWS)
    x, y = x[i].double(), y[j].double()
    near_x, near_y, xy = _Neighbours.of(x), _Neighbours.of(y), torch.cdist(x, y).float()
    parts_x = random_parts(x, 2, HALVINGS).flatten(0, 1)
    parts_y = random_parts(y, 2, HALVINGS, None if strata is None else strata[j]).flatten(0, 1)
    values = [_overlap(near_x.radii(a), near_y, b, xy[a][:, b]) for a, b in zip(parts_x, parts_y, strict=True)]
    return OverlapOfHalves(torch.stack(values).view(HALVINGS, 2, len(NAMES)), parts_x.shape[1])


class _Neighbours(NamedTuple):
    """Of each row its distances [n, L] to the nearest, ascending, itself the first, and which rows they are."""

    distances: Tensor
    rows: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Self:
        own = torch.cdist(x, x).fill_diagonal_(-1).float()
        return cls(*own.topk(min(MAX_NEIGHBOURS, len(x)), largest=False))

    def radii(self, half: Tensor) -> Tensor:
        """From each row of the half to its fifth nearest other row of it, [m]."""
        inside = torch.zeros(len(self.rows), dtype=torch.bool)
        inside[half] = True
        place = (inside[self.rows[half]].cumsum(1) > NEAREST_K).byte().argmax(1)
        return self.distances[half].gather(1, place[:, None])[:, 0]

    def count_balls(self, half: Tensor, radii: Tensor) -> Tensor:
        """Of each row of the half, in how many closed balls about others of it the row lies, of radii [m] no larger
        than those above; [m]."""
        held = (self.distances[half] >= 0) & (self.distances[half] <= radii[:, None])
        return self.rows[half][held].bincount(minlength=len(self.rows))[half]


def clipped_mean(counts: Tensor) -> Tensor:
    """Mean of min(1, c/k)."""
    return (counts.double() / NEAREST_K).clamp(max=1).mean()


def _overlap(radii_x: Tensor, near_y: _Neighbours, half_y: Tensor, xy: Tensor) -> Tensor:
    """All, float64 [metrics], from radii [m] of x, neighbours in y, a half of it, and distances [m, m] between both."""
    radii_y = near_y.radii(half_y)
    clipped = radii_y.clamp(max=float(radii_y.quantile(0.5)))
    in_real, in_generated, held = xy < radii_y, xy < radii_x[:, None], (xy <= clipped).sum(1)
    shares = [in_real.any(1), in_generated.any(0), in_real.sum(1) / NEAREST_K, in_real.any(0)]
    ratio = clipped_mean(held) / clipped_mean(near_y.count_balls(half_y, clipped))
    return torch.stack([*(each.double().mean() for each in shares), ratio, clipped_mean(in_real.sum(0))])
