"""The birthday paradox test: two images are the same when they are of one class and nearer than its threshold.

Thresholds are set per class (or k-means cluster) on pairs of real held-out images; a single one would only detect
duplicates of the narrowest class (the digit 1). Distances are float64, in bounded memory.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor

from genlib.data.pixels import Pixels, flat_float64, images_within, iter_pieces, select_rows

CHUNK_ELEMENTS = 1 << 20  # distances that are held at a time
HELD_ELEMENTS = 1 << 24  # numbers of points in float64 that are held at a time
INFINITY = torch.tensor(torch.inf, dtype=torch.float64)


@dataclass(frozen=True)
class PointSet:
    """n images as points `x` of a space in which they are compared, features [n, d] or pixels [n, C, H, W], each of a
    `cluster`, int64 [n]."""

    x: Pixels
    cluster: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor | slice) -> "PointSet":
        return PointSet(select_rows(self.x, index), self.cluster[index])

    def by_cluster(self) -> Iterator[tuple[int, Tensor]]:
        for cluster in sorted(set(self.cluster.tolist())):
            yield cluster, (self.cluster == cluster).nonzero().squeeze(1)


def _iter_squared_distances(x: Pixels) -> Iterator[tuple[int, Tensor]]:
    """(first row, squared distances [rows, n - first] to it and all after it), each pair once, infinite before."""
    points, start = CentredPoints.of(x), 0
    while start < len(x):
        end = start + min(len(x) - start, points.max_rows, max(1, CHUNK_ELEMENTS // (len(x) - start)))
        products = points.squared_distances(slice(start, end))
        given_before = torch.ones(end - start, end - start, dtype=torch.bool).tril()
        products[:, : end - start].masked_fill_(given_before, torch.inf)
        yield start, products.clamp_(min=0)
        start = end


@dataclass(frozen=True)
class CentredPoints:
    """Points [n, d] about their `mean` [d] with their squared `norms` [n], float64; `max_rows` are in memory at a time,
    all (in `held`) where they fit."""

    x: Pixels
    mean: Tensor
    norms: Tensor
    max_rows: int
    held: Tensor | None

    @classmethod
    def of(cls, x: Pixels) -> Self:
        size = images_within(HELD_ELEMENTS, x.shape[1:])
        if len(x) <= size:
            held = flat_float64(x[:])
            mean = held.mean(0)
            norms = held.sub_(mean).square().sum(1)
            return cls(x, mean, norms, size, held)
        mean = torch.stack([flat_float64(piece).sum(0) for piece in iter_pieces(x)]).sum(0) / len(x)
        norms = torch.cat([flat_float64(piece).sub_(mean).square().sum(1) for piece in iter_pieces(x)])
        return cls(x, mean, norms, max(1, size // 2), None)  # two blocks are multiplied

    def squared_distances(self, rows: slice) -> Tensor:
        """||a - b||^2 = ||a||^2 + ||b||^2 - 2 a.b of those rows a and all b from the first of them on."""
        a = self._read(rows)
        found = torch.empty(len(a), len(self.x) - rows.start, dtype=torch.float64)
        step = len(self.x) if self.held is not None else self.max_rows
        for start in range(rows.start, len(self.x), step):
            b = slice(start, min(start + step, len(self.x)))
            part = found[:, b.start - rows.start : b.stop - rows.start]
            torch.addmm(self.norms[b], a, self._read(b).T, alpha=-2, out=part)
        return found.add_(self.norms[rows, None])

    def _read(self, rows: slice) -> Tensor:
        return flat_float64(self.x[rows]).sub_(self.mean) if self.held is None else self.held[rows]


def closest_pairs(x: Pixels, count: int) -> tuple[Tensor, Tensor]:
    """The `count` closest pairs of rows, or all there are: distances float64 [m] ascending, rows int64 [m, 2]."""
    best, pairs = torch.empty(0, dtype=torch.float64), torch.empty(0, 2, dtype=torch.long)
    limit = INFINITY
    for start, squares in _iter_squared_distances(x):
        if len(best) < count <= squares.numel():
            limit = squares.flatten().topk(count, largest=False).values[-1].nextafter(limit)
        found = (squares < limit).nonzero()
        best = torch.cat([best, squares[found[:, 0], found[:, 1]]])
        best, kept = best.topk(min(count, len(best)), largest=False)
        pairs = torch.cat([pairs, start + found])[kept]
        limit = best[-1] if len(best) == count else INFINITY
    return best.sqrt(), pairs


def correlation_integral(x: Pixels, radii: Tensor) -> Tensor:
    """C(r), the share of pairs of rows no farther apart than r, of ascending radii (Grassberger and Procaccia 1983)."""
    found = torch.zeros(len(radii) + 1, dtype=torch.long)
    for _, squares in _iter_squared_distances(x):
        found += torch.bucketize(squares.flatten(), radii**2).bincount(minlength=len(found))
    return found.cumsum(0)[:-1].double() / max(1, num_pairs(len(x)))


@dataclass(frozen=True)
class DuplicateThresholds:
    """Images of a cluster are the same up to its `radius`; a cluster without a pair of real ones has the smallest.

    `narrow`, `wide`: thresholds at about half and twice as many real pairs. `chance`: the relative variance of
    the share of pairs of real images within the radius, by cluster.
    """

    radius: dict[int, float]
    rate: float  # share of all pairs of real images that the radii call the same
    narrow: "DuplicateThresholds | None" = None
    wide: "DuplicateThresholds | None" = None
    chance: dict[int, float] = field(default_factory=dict)

    def radius_of(self, cluster: int) -> float:
        return self.radius.get(cluster, min(self.radius.values(), default=0.0))

    def _iter_duplicates(self, points: PointSet) -> Iterator[tuple[Tensor, int, Tensor]]:
        """(members, start, whether members[start + i] is the same as members[start + j], bool [rows, m])."""
        for cluster, members in points.by_cluster():
            for start, squares in _iter_squared_distances(select_rows(points.x, members)):
                yield members, start, squares <= self.radius_of(cluster) ** 2

    def duplicate_counts(self, points: PointSet) -> Tensor:
        """How many others each image is the same as, int64 [n]."""
        counts = torch.zeros(len(points), dtype=torch.long)
        for members, start, same in self._iter_duplicates(points):
            counts[members[start : start + len(same)]] += same.sum(1)
            counts[members[start:]] += same.sum(0)
        return counts

    def sample_duplicates(self, points: PointSet, count: int, generator: torch.Generator) -> Tensor:
        """`count` of the pairs that are the same, or all there are, each as likely as any other: int64 [m, 2]."""
        keys, pairs = torch.empty(0), torch.empty(0, 2, dtype=torch.long)
        for members, start, same in self._iter_duplicates(points):
            found = start + same.nonzero()
            keys = torch.cat([keys, torch.rand(len(found), generator=generator)])
            pairs = torch.cat([pairs, members[found]])
            kept = keys.argsort(stable=True)[:count]
            keys, pairs = keys[kept], pairs[kept]
        return pairs

    def closest_scaled_pairs(self, points: PointSet, count: int) -> tuple[Tensor, Tensor]:
        """The closest pairs of one cluster, in units of its radius: float64 [m] ascending, images int64 [m, 2]."""
        units, pairs = [torch.empty(0, dtype=torch.float64)], [torch.empty(0, 2, dtype=torch.long)]
        for cluster, members in points.by_cluster():
            distances, rows = closest_pairs(select_rows(points.x, members), count)
            units.append(distances / max(self.radius_of(cluster), 1e-12))
            pairs.append(members[rows])
        order = torch.cat(units).argsort(stable=True)[:count]
        return torch.cat(units)[order], torch.cat(pairs)[order]


def num_pairs(n: int) -> int:
    return n * (n - 1) // 2


def calibrate_thresholds(real: PointSet, rate: float) -> DuplicateThresholds:
    """Radii at which `rate` of all pairs of `real` are the same: the same share, and at least one pair, in each
    cluster."""
    clusters = {cluster: members for cluster, members in real.by_cluster() if len(members) > 1}
    sizes = {cluster: num_pairs(len(members)) for cluster, members in clusters.items()}
    within = rate * num_pairs(len(real)) / max(1, sum(sizes.values()))
    found: list[dict[int, float]] = [{}, {}, {}]
    pairs, chance = [0, 0, 0], {}
    for cluster, members in clusters.items():
        passing = min(sizes[cluster], max(1, round(within * sizes[cluster])))
        counts = max(1, passing // 2), passing, min(sizes[cluster], 2 * passing)
        distances, rows = closest_pairs(select_rows(real.x, members), counts[-1])
        for i, count in enumerate(counts):
            found[i][cluster], pairs[i] = float(distances[count - 1]), pairs[i] + count
        chance[cluster] = relative_variance(rows[:passing].flatten().bincount(minlength=len(members)))
    narrow, radius, wide = found
    rates = [count / max(1, num_pairs(len(real))) for count in pairs]
    ends = DuplicateThresholds(narrow, rates[0]), DuplicateThresholds(wide, rates[2])
    return DuplicateThresholds(radius, rates[1], *ends, chance)


def relative_variance(duplicates: Tensor, scale: float = 1.0) -> float:
    """Of U = sum_i c_i / (n (n - 1)), from how many others each of n draws equals, c int64 [n], not all 0; `scale`: how
    many pairs each counted one stands for. W = sum_i c_i (c_i - 1) / (n (n - 1) (n - 2)) estimates sum p^3, and
    Var U = (4 (n - 2) (W - U^2) + 2 U (1 - U)) / (n (n - 1))."""
    c, n = duplicates.double(), len(duplicates)
    u = scale * float(c.sum()) / (n * (n - 1))
    w = scale**2 * float((c * (c - 1)).sum()) / (n * (n - 1) * max(1, n - 2))
    return (4 * (n - 2) * max(0.0, w - u**2) + 2 * u * (1 - u)) / (n * (n - 1)) / u**2


def radii_variance(thresholds: DuplicateThresholds, points: PointSet, duplicates: Tensor) -> float:
    """What the chance in the radii adds to the relative variance of U of `points`, by the delta method: b^2 sum_k s_k^2
    v_k, with s_k the share of cluster k in the pairs that are the same and v_k the `chance` there. b is how fast their
    number grows with that of real pairs, from the narrow to the wide radii: 1 for real images, 0 for copies."""
    narrow, wide = thresholds.narrow, thresholds.wide
    if narrow is None or wide is None or not duplicates.any():
        return 0.0
    few, many = (float(each.duplicate_counts(points).sum()) / 2 for each in (narrow, wide))
    growth = (
        math.log((many + 0.5) / (few + 0.5)) / math.log(wide.rate / narrow.rate) if wide.rate > narrow.rate else 0.0
    )
    total = float(duplicates.sum())
    shares = {cluster: float(duplicates[members].sum()) / total for cluster, members in points.by_cluster()}
    return growth**2 * sum(share**2 * thresholds.chance.get(cluster, 0.0) for cluster, share in shares.items())
