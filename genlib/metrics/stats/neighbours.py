"""Exact nearest neighbours by matrix products, in bounded memory.

||x - a||^2 - ||x||^2 = ||a||^2 - 2 x.a is fast but rounds, so products only propose blocks of rows of `among` that may
hold one of the k nearest, given the rounding bound; these are measured again as differences in float64. Products are in
float32 about the mean, and in float64 for each x with too many candidate blocks.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 24  # products held at once
FLOAT64_ELEMENTS = 1 << 17  # numbers held in float64 at once
BLOCK_WIDTH = 32
SPARE_BLOCKS = 8


def nearest(x: Tensor, among: Tensor, k: int = 1, *, skip: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Distances float64 [n, k], ascending, and rows int64 [n, k] of the k rows of `among` nearest to each row of x;
    ties: lower row first. `skip` int64 [n]: a row that does not count for each x; a missing k-th distance is
    infinite."""
    distances, rows, crowded = _search(x, among, k, skip, torch.float32)
    if crowded.any():
        left_out = None if skip is None else skip[crowded]
        distances[crowded], rows[crowded], _ = _search(x[crowded], among, k, left_out, torch.float64)
    return distances, rows


def nearest_in_blocks(x: Tensor, blocks: Iterable[Tensor], k: int) -> tuple[Tensor, Tensor]:
    """`nearest` among the rows of all `blocks`, one after the other, of which one is in memory at a time: the same."""
    distances, rows, start = torch.empty(len(x), 0, dtype=torch.float64), torch.empty(len(x), 0, dtype=torch.long), 0
    for block in blocks:
        further, places = nearest(x, block, min(k, len(block)))
        distances, rows = torch.cat([distances, further], 1), torch.cat([rows, places + start], 1)
        order = distances.argsort(dim=1, stable=True)[:, :k]  # of equal distances, those of earlier blocks first
        distances, rows, start = distances.gather(1, order), rows.gather(1, order), start + len(block)
    return distances, rows


def _search(x: Tensor, among: Tensor, k: int, skip: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Distances, rows, and whether one of the k may be missing because there were too many candidates; by row of x."""
    n, k = len(among), min(k, len(among))
    found = torch.full((len(x), k), torch.inf, dtype=torch.float64), torch.zeros(len(x), k, dtype=torch.long)
    crowded = torch.zeros(len(x), dtype=torch.bool)
    centre = among.mean(0)
    ours, theirs = _centre_and_round(centre, x, dtype), _centre_and_round(centre, among, dtype)
    lengths = theirs.norm(dim=1)
    squares, longest = lengths.square(), lengths.max()
    slack = (x.shape[1] + 8) * torch.finfo(dtype).eps * longest * (ours.norm(dim=1) + longest)
    width = max(1, min(BLOCK_WIDTH, n // (4 * k)))
    blocks = torch.full((min(len(x), max(1, CHUNK_ELEMENTS // n)), -(-n // width), width), torch.inf, dtype=dtype)
    for start in range(0, len(x), max(1, len(blocks))):
        part = slice(start, start + len(blocks))
        some = blocks[: len(x[part])]
        products = some.flatten(1)[:, :n]
        torch.addmm(squares, ours[part], theirs.T, alpha=-2, out=products)
        if skip is not None:
            products.scatter_(1, skip[part, None], torch.inf)
        row, column, crowded[part] = _candidates(some, slack[part], k)
        for whole, measured in zip(found, _exact_nearest(x[part], among, row, column, k), strict=True):
            whole[part] = measured
    return *found, crowded


def _centre_and_round(centre: Tensor, x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.to(torch.promote_types(x.dtype, dtype), copy=True).sub_(centre).to(dtype)


def _candidates(blocks: Tensor, slack: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs (row of x, row of `among`) that hold the k nearest, and of which x they may not, for want of room.

    Rounding makes ||a||^2 - 2 x.a wrong by at most slack = (d + 8) eps ||a|| (||x|| + ||a||) for d numbers a row. So of
    the k nearest none exceeds any k-th smallest by more than 2 slack: here that of the smallest in each block. Where
    there is no room for all blocks below this limit, those that may tie give way, the later ones first.
    """
    count, width = blocks.shape[1:]
    least = blocks.amin(2)
    limit = least.topk(k, largest=False).values[:, -1:] + 2 * slack[:, None]
    turn = torch.arange(count).where(least > limit - 4 * slack[:, None], -1).masked_fill(least > limit, count)
    which = turn.topk(min(2 * k + SPARE_BLOCKS, count), largest=False).indices
    values = blocks.gather(1, which[:, :, None].expand(-1, -1, width))
    row, slot, place = ((values <= limit[:, :, None]) & (values < torch.inf)).nonzero(as_tuple=True)
    crowded = ((turn < count).sum(1) > which.shape[1]) | ~limit[:, 0].isfinite()
    return row, which[row, slot] * width + place, crowded


def _exact_nearest(x: Tensor, among: Tensor, row: Tensor, candidate: Tensor, k: int) -> tuple[Tensor, Tensor]:
    at_once = max(1, FLOAT64_ELEMENTS // x.shape[1])
    pairs = zip(torch.split(row, at_once), torch.split(candidate, at_once), strict=True)
    distance = torch.cat([(x[r].double() - among[c].double()).norm(dim=1) for r, c in pairs])
    order = torch.arange(len(row))
    for key in (candidate, distance, row):
        order = order[key[order].argsort(stable=True)]
    row = row[order]
    place = torch.arange(len(row)) - torch.searchsorted(row, row)
    kept = place < k
    distances, rows = torch.full((len(x), k), torch.inf, dtype=torch.float64), torch.zeros(len(x), k, dtype=torch.long)
    distances[row[kept], place[kept]] = distance[order][kept]
    rows[row[kept], place[kept]] = candidate[order][kept]
    return distances, rows
