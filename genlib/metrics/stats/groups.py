"""The delete-group jackknife: statistics without one of G consecutive groups of rows."""

from collections.abc import Callable

import torch
from torch import Tensor

from genlib.metrics.stats.intervals import NUM_GROUPS, group_slices, jackknife


def drop_group(x: Tensor, group: slice) -> Tensor:
    return torch.cat([x[: group.start], x[group.stop :]])


def jackknife_of(statistic: Callable[..., float], *sets: Tensor) -> tuple[float, float, float]:
    """(value, low, high) of `statistic(*sets)`, sets of the same number of rows; all of them lose a group at once."""
    value, groups = statistic(*sets), group_slices(len(sets[0]))
    return value, *jackknife(value, [statistic(*(drop_group(x, group) for x in sets)) for group in groups])


def group_index(n: int) -> Tensor:
    """The group of each of n rows, int64 [n]."""
    sizes = [group.stop - group.start for group in group_slices(n)]
    return torch.arange(NUM_GROUPS).repeat_interleave(torch.tensor(sizes))


def kept_groups() -> Tensor:
    """Float64 [1 + G, G]: all groups, then all but one of them."""
    return torch.cat([torch.ones(1, NUM_GROUPS), 1 - torch.eye(NUM_GROUPS)]).double()


def sums_without_groups(sums: Tensor) -> Tensor:
    """From sums over the pairs of groups [G, G]: the sum over all of them, and without each of them, [1 + G]."""
    kept = kept_groups()
    return torch.einsum("kg,gh,kh->k", kept, sums, kept)
