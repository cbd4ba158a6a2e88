"""Seeded generators and shards, independent of the number of workers."""

import hashlib

import torch


def seeded_generator(*keys: int | str) -> torch.Generator:
    """A CPU generator whose stream is a pure function of `keys`."""
    digest = hashlib.sha256(repr(keys).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def shard_slice(total: int, rank: int, world: int) -> slice:
    """Rows of a global batch of `total` that belong to `rank`: consecutive, sizes differ by at most one."""
    return slice(total * rank // world, total * (rank + 1) // world)
