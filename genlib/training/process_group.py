"""The processes that train one model together, and the one thing they share: sums.

Only torch.distributed is known here. A process that trains alone is a group of one and pays nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class ProcessGroup:
    """Rank `rank` of `world` processes."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def current(cls) -> ProcessGroup:
        """The group that torch.distributed was started with, or the group of one."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size())
        return cls()

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def all_reduce_(self, tensors: Iterable[Tensor]) -> None:
        """Replace every tensor by its sum over the group: one all-reduce of all of them, flattened."""
        if self.world_size == 1:
            return
        kept = list(tensors)
        flat = torch.cat([tensor.reshape(-1).float() for tensor in kept])
        dist.all_reduce(flat)
        for tensor, summed in zip(kept, torch.split(flat, [tensor.numel() for tensor in kept]), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def broadcast_int(self, value: int) -> int:
        """Rank 0's `value`, on every rank."""
        if self.world_size == 1:
            return value
        box = torch.tensor([value], dtype=torch.int64)
        dist.broadcast(box, src=0)
        return int(box.item())
