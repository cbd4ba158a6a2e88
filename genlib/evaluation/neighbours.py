"""Exact nearest neighbours by matrix products, in bounded memory.

||x - a||^2 = ||x||^2 + ||a||^2 - 2 x.a is fast but rounds. So the product, in float32 about the mean, only proposes a
few more candidates than asked; these are measured again as differences in float64; and a row whose winners could have
been overtaken by an unproposed one, given the rounding bound, is done again with the product in float64.
"""

from __future__ import annotations

import torch
from torch import Tensor

ELEMENTS = 1 << 24
SPARE = 4


def nearest(x: Tensor, among: Tensor, k: int = 1, *, skip: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Distances float64 [n, k], ascending, and rows int64 [n, k] of the k rows of `among` nearest to each row of x.

    `skip` int64 [n]: one row of `among` that does not count for each x (itself, say). Equal distances: lower row first.
    """
    centre = among.double().mean(0)
    x, among = x.double() - centre, among.double() - centre
    squares, index, sure = _propose(x, among, k, skip, torch.float32)
    again = (~sure).nonzero().squeeze(1)
    if len(again):
        left_out = None if skip is None else skip[again]
        squares[again], index[again], _ = _propose(x[again], among, k, left_out, torch.float64)
    return squares.sqrt(), index


def _propose(x: Tensor, among: Tensor, k: int, skip: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Squared distances, rows, and whether rounding in `dtype` cannot have hidden a nearer one; row by row of x."""
    narrow, norms = among.to(dtype), among.square().sum(1).to(dtype)
    rows = max(1, ELEMENTS // len(among))
    parts = []
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        products = torch.addmm(norms, x[part].to(dtype), narrow.T, alpha=-2)  # ||x - a||^2 - ||x||^2
        if skip is not None:
            products.scatter_(1, skip[part, None], torch.inf)
        parts.append(_settle(x[part], among, products, k))
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


def _settle(x: Tensor, among: Tensor, products: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    proposed, index = products.topk(min(k + SPARE, len(among)), largest=False)
    index, order = index.sort(1)
    squares = (x[:, None] - among[index]).square().sum(2)
    squares[proposed.gather(1, order).isinf()] = torch.inf
    squares, order = squares.sort(dim=1, stable=True)
    squares, index = squares[:, :k], index.gather(1, order)[:, :k]
    own = x.square().sum(1)
    slack = (x.shape[1] + 8) * torch.finfo(products.dtype).eps * (own.sqrt() + among.norm(dim=1).max()).square()
    sure = squares[:, -1] + slack < proposed[:, -1] + own
    return squares, index, sure | (proposed.shape[1] == len(among))
