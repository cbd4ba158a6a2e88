"""Random parts of a set of images, which depend on what its rows are and not on their order.

Two random halves of n independent images are independent sets of n / 2, so half the squared difference of a statistic
between them estimates its variance at n / 2 without bias, whatever the statistic; their mean is steady.
"""

import torch
from torch import Tensor

from genlib.data.pixels import Pixels, iter_pieces
from genlib.data.random import seeded_generator


def canonical_order(x: Pixels) -> Tensor:
    """The rows of x [n, d] in the order of a random projection: the same rows in the same order, however they stand."""
    direction = torch.randn(x.shape[1], generator=seeded_generator("canonical"), dtype=torch.float64)
    projected = [(piece.double() * direction).sum(1) for piece in iter_pieces(x)]
    return torch.cat(projected).argsort(stable=True)


def draw_rows(x: Pixels, count: int) -> Tensor:
    """`count` random rows of x [n, d], or all; int64."""
    order = canonical_order(x)
    return order[torch.randperm(len(x), generator=seeded_generator("drawn"))[:count]]


def random_parts(x: Tensor, num_parts: int, repeats: int, strata: Tensor | None = None) -> Tensor:
    """Rows of x [n, d] dealt at random into parts of m = n // num_parts, int64 [repeats, num_parts, m]; each has as
    many of each stratum, int64 [n], as the others, give or take one."""
    order, size = canonical_order(x), len(x) // num_parts
    key = torch.rand(repeats, len(x), generator=seeded_generator("parts"), dtype=torch.float64)
    if strata is None:
        return order[key.argsort(1)][:, : size * num_parts].view(repeats, num_parts, size)
    dealt = order[(key + strata[order]).argsort(1)][:, : size * num_parts]
    return dealt.view(repeats, size, num_parts).mT


def variance_between(values: Tensor) -> float:
    """The variance of a statistic of one part, from its values [repeats, num_parts]."""
    return float(values.double().var(1).mean())
