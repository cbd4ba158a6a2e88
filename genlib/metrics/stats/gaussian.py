"""The Gaussian of a set of features: mean and covariance, summed a piece at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genlib.data.pixels import Pixels, iter_pieces


@dataclass(frozen=True, eq=False)
class Gaussian:
    """`mean` [d] and unbiased `covariance` [d, d], float64, of `rows` [n, d], in memory or in a file; None where the
    statistics alone are known."""

    mean: Tensor
    covariance: Tensor
    rows: Pixels | None = None

    @classmethod
    def of_rows(cls, rows: Pixels) -> Gaussian:
        """Sums about the mean of the first piece: S = sum (x - c)(x - c)' - n (mean - c)(mean - c)'."""
        n, d = rows.shape
        total = torch.zeros(d, dtype=torch.float64)
        squares, centre = torch.zeros(d, d, dtype=torch.float64), None
        for piece in iter_pieces(rows):
            x = piece.cpu().double()
            centre = x.mean(0) if centre is None else centre
            x = x - centre
            total += x.sum(0)
            squares.addmm_(x.T, x)
        shift = total / n
        squares -= n * torch.outer(shift, shift)
        return cls(shift + (centre if centre is not None else 0), squares / max(1, n - 1), rows)

    @property
    def n(self) -> int:
        """The number of rows, 0 where they are not known."""
        return 0 if self.rows is None else len(self.rows)

    def iter_centred(self) -> Iterator[Tensor]:
        """The rows less their mean, float64 [m, d] a piece."""
        for piece in () if self.rows is None else iter_pieces(self.rows):
            yield piece.cpu().double() - self.mean

    def draw_centred(self, index: Tensor) -> Tensor:
        """The rows at `index` less their mean, float64 [m, d]."""
        assert self.rows is not None
        return self.rows[index].cpu().double() - self.mean
