"""The birthday paradox test: two images are the same when they are of one class and nearer than its threshold.

Thresholds are set per class (or k-means cluster) on pairs of real held-out images; a single one would only detect
duplicates of the narrowest class (the digit 1). Distances are float64, in bounded memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 20
INFINITY = torch.tensor(torch.inf, dtype=torch.float64)


@dataclass(frozen=True)
class PointSet:
    """n images as points `x` [n, d] of a space in which they are compared, each of a `cluster`, int64 [n]."""

    x: Tensor
    cluster: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: Tensor | slice) -> "PointSet":
        return PointSet(self.x[index], self.cluster[index])

    def by_cluster(self) -> Iterator[tuple[int, Tensor]]:
        for cluster in sorted(set(self.cluster.tolist())):
            yield cluster, (self.cluster == cluster).nonzero().squeeze(1)


def _iter_squared_distances(x: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(first row, squared distances [rows, n - first] to it and all after it), each pair once, infinite before."""
    x, start = x.double() - x.double().mean(0), 0
    norms = x.square().sum(1)
    while start < len(x):
        end = min(len(x), start + max(1, CHUNK_ELEMENTS // (len(x) - start)))
        products = torch.addmm(norms[start:], x[start:end], x[start:].T, alpha=-2).add_(norms[start:end, None])
        given_before = torch.ones(end - start, end - start, dtype=torch.bool).tril()
        products[:, : end - start].masked_fill_(given_before, torch.inf)
        yield start, products.clamp_(min=0)
        start = end


def closest_pairs(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
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


def correlation_integral(x: Tensor, radii: Tensor) -> Tensor:
    """C(r), the share of pairs of rows no farther apart than r, of ascending radii (Grassberger and Procaccia 1983)."""
    found = torch.zeros(len(radii) + 1, dtype=torch.long)
    for _, squares in _iter_squared_distances(x):
        found += torch.bucketize(squares.flatten(), radii**2).bincount(minlength=len(found))
    return found.cumsum(0)[:-1].double() / max(1, num_pairs(len(x)))


@dataclass(frozen=True)
class DuplicateThresholds:
    """Images of a cluster are the same up to its `radius`; a cluster without a pair of real ones has the smallest."""

    radius: dict[int, float]
    rate: float  # share of all pairs of real images that the radii call the same

    def radius_of(self, cluster: int) -> float:
        return self.radius.get(cluster, min(self.radius.values(), default=0.0))

    def _iter_duplicates(self, points: PointSet) -> Iterator[tuple[Tensor, int, Tensor]]:
        """(members, start, whether members[start + i] is the same as members[start + j], bool [rows, m])."""
        for cluster, members in points.by_cluster():
            for start, squares in _iter_squared_distances(points.x[members]):
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
            distances, rows = closest_pairs(points.x[members], count)
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
    radius, same = {}, 0
    for cluster, members in clusters.items():
        passing = min(sizes[cluster], max(1, round(within * sizes[cluster])))
        distances, _ = closest_pairs(real.x[members], passing)
        radius[cluster], same = float(distances[-1]), same + len(distances)
    return DuplicateThresholds(radius, same / max(1, num_pairs(len(real))))
