"""The processes that train one model, by torch.distributed; a single process is a group of one."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
import torch.distributed as dist
from torch import Tensor


@dataclass(frozen=True)
class ProcessGroup:
    """Rank `rank` of `world_size` processes."""

    rank: int = 0
    world_size: int = 1

    @classmethod
    def current(cls) -> Self:
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
        reduced = list(tensors)
        flat = torch.cat([tensor.reshape(-1).float() for tensor in reduced])
        dist.all_reduce(flat)
        for tensor, summed in zip(reduced, torch.split(flat, [tensor.numel() for tensor in reduced]), strict=True):
            tensor.copy_(summed.view_as(tensor))

    def broadcast_int(self, value: int) -> int:
        """Rank 0's `value`, on every rank."""
        if self.world_size == 1:
            return value
        buffer = torch.tensor([value], dtype=torch.int64)
        dist.broadcast(buffer, src=0)
        return int(buffer.item())
