"""The delete-group jackknife: statistics without one of G consecutive groups of rows."""

from collections.abc import Callable

import torch
from torch import Tensor

from genlib.metrics.stats.intervals import NUM_GROUPS, group_slices


def drop_group(x: Tensor, group: slice) -> Tensor:
    return torch.cat([x[: group.start], x[group.stop :]])


def jackknife_values(statistic: Callable[..., float], *sets: Tensor) -> list[float]:
    """`statistic(*sets)`, then without each group, which all sets, of the same number of rows, lose at once."""
    groups = group_slices(len(sets[0]))
    return [statistic(*sets), *(statistic(*(drop_group(x, group) for x in sets)) for group in groups)]


def group_index(n: int) -> Tensor:
    return torch.cat([torch.full((g.stop - g.start,), index) for index, g in enumerate(group_slices(n))])


def kept_groups() -> Tensor:
    """Float64 [1 + G, G]: all groups, then all but one of them."""
    return torch.cat([torch.ones(1, NUM_GROUPS), 1 - torch.eye(NUM_GROUPS)]).double()


def sums_without_groups(sums: Tensor) -> Tensor:
    """From sums over the pairs of groups [G, G]: the sum over all of them, and without each of them, [1 + G]."""
    kept = kept_groups()
    return torch.einsum("kg,gh,kh->k", kept, sums, kept)
