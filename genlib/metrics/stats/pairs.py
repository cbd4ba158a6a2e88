"""Exact pairs of near rows by matrix products, in bounded memory.

||x - y||^2 = ||x||^2 + ||y||^2 - 2 x.y is fast but rounds, so pairs within the rounding bound of the edge are measured
again as differences in float64; a block with too many of them is first computed again with products in float64.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Self

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 21  # products held at once
FLOAT64_ELEMENTS = 1 << 17  # numbers held in float64 at once
MAX_UNSURE_PER_ROW = 16  # pairs at the edge for each row, beyond which float64 is the faster

IndexPairs = tuple[Tensor, Tensor]


def pairs_within(
    x: Tensor, y: Tensor, squared_radii_x: Tensor, squared_radii_y: Tensor
) -> Iterator[tuple[IndexPairs, IndexPairs]]:
    """Rows (i, j) with ||x_i - y_j||^2 < r_i of x, and those with < r_j of y; some rows of x at a time."""
    coarse = CentredProducts.from_points(x, y, torch.float32)
    fine = cache(lambda: CentredProducts.from_points(x, y, torch.float64))
    rows = max(1, CHUNK_ELEMENTS // len(y))
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        found = coarse.candidate_pairs(part, squared_radii_x, squared_radii_y)
        num_unsure = sum(int(unsure.sum()) for *_, unsure in found)
        if num_unsure > MAX_UNSURE_PER_ROW * rows or not coarse.slack[part].isfinite().all():
            found = fine().candidate_pairs(part, squared_radii_x, squared_radii_y)
        (i, j, first), (u, v, second) = found
        yield (
            _confirm_pairs(x, y, i + start, j, first, squared_radii_x[i + start]),
            _confirm_pairs(x, y, u + start, v, second, squared_radii_y[v]),
        )


@dataclass(frozen=True)
class CentredProducts:
    """x and y about the mean of y, their squared lengths, and by how much a squared distance of each x may be wrong."""

    x: Tensor
    y: Tensor
    x_squares: Tensor
    y_squares: Tensor
    slack: Tensor

    @classmethod
    def from_points(cls, x: Tensor, y: Tensor, dtype: torch.dtype) -> Self:
        """Rounding makes ||x||^2 + ||y||^2 - 2 x.y wrong by less than (d + 8) eps (||x|| + ||y||)^2."""
        centre = y.double().mean(0)
        u, v = ((each.double() - centre).to(dtype) for each in (x, y))
        own, theirs = u.square().sum(1), v.square().sum(1)
        slack = (x.shape[1] + 8) * torch.finfo(dtype).eps * (own.sqrt() + theirs.max().sqrt()).square()
        return cls(u, v, own, theirs, slack)

    def candidate_pairs(
        self, part: slice, squared_radii_x: Tensor, squared_radii_y: Tensor
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Rows of pairs that may lie within the radii of x, and whether that is unsure; then those of y."""
        own, slack = self.x_squares[part], self.slack[part]
        beyond = torch.addmm(self.y_squares, self.x[part], self.y.T, alpha=-2)
        first = _pairs_below(beyond, squared_radii_x[part].to(own.dtype) - own, slack)
        return [first, _pairs_below(beyond.sub_(squared_radii_y.to(own.dtype)), -own, slack)]


def _pairs_below(values: Tensor, limit: Tensor, slack: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    row, column = (values <= (limit + slack)[:, None]).nonzero(as_tuple=True)
    return row, column, values[row, column] >= (limit - slack)[row]


def _confirm_pairs(x: Tensor, y: Tensor, row: Tensor, column: Tensor, unsure: Tensor, limit: Tensor) -> IndexPairs:
    """The pairs without those at the edge that are outside; the edge itself is."""
    inside = ~unsure
    for at in torch.split(unsure.nonzero().squeeze(1), max(1, FLOAT64_ELEMENTS // x.shape[1])):
        differences = x[row[at]].double() - y[column[at]].double()
        inside[at] = differences.square().sum(1) < limit[at]
    return row[inside], column[inside]
