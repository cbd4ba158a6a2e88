"""Endless, sharded, resumable batches with reproducible randomness.

All randomness of a step is drawn for the *global* batch from (seed, step, name) and sliced by rank, so results do not
depend on the number of workers, and a run resumed at step k continues exactly.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count

import torch
from torch import Tensor

from genlib.data.images import Images, to_float
from genlib.data.random import seeded_generator, shard_slice
from genlib.data.streaming import StreamedImages

DOMAIN_B_SEED_OFFSET = 1_000_003  # what is added to the seed of the second domain's order


@dataclass(frozen=True)
class Batch:
    """One rank's rows of a global batch: `pixels` uint8 [n, C, H, W] and `labels` int64 [n], on the training device."""

    pixels: Tensor
    labels: Tensor | None
    global_size: int  # rows of the global batch
    rank_rows: slice  # which of them these are
    seed: int
    step: int
    domain_b: "Batch | None" = None  # of the second domain, where an objective learns from a pair

    @cached_property
    def x(self) -> Tensor:
        """The images as floats in [-1, 1], channels last; float sets as they are."""
        return to_float(self.pixels).contiguous(memory_format=torch.channels_last)

    def split(self, num_pieces: int) -> list["Batch"]:
        """Consecutive pieces of these rows, with the same draws: sizes differ by at most one."""
        n = len(self.pixels)
        return [self._take(shard_slice(n, i, num_pieces)) for i in range(num_pieces)] if num_pieces > 1 else [self]

    def _take(self, rows: slice) -> "Batch":
        """Some of these rows, as rows of the same global batch."""
        start = self.rank_rows.start
        return replace(
            self,
            pixels=self.pixels[rows],
            labels=None if self.labels is None else self.labels[rows],
            rank_rows=slice(start + rows.start, start + rows.stop),
            domain_b=self.domain_b and self.domain_b._take(rows),
        )

    @property
    def y(self) -> Tensor:
        if self.labels is None:
            raise ValueError("this objective needs labels, and the data have none")
        return self.labels

    def randn(self, name: str, *shape: int) -> Tensor:
        """Standard normal [n, *shape]: this rank's rows of the draw `name` of this step; `rand`: uniform in [0, 1)."""
        return self._draw(torch.randn, name, shape)

    def rand(self, name: str, *shape: int) -> Tensor:
        return self._draw(torch.rand, name, shape)

    def all_gather(self, values: Tensor) -> Tensor:
        """The global batch [size, ...] of which `values` [n, ...] are this rank's rows, on every rank."""
        if len(values) == self.global_size:
            return values
        gathered = values.new_zeros(self.global_size, *values.shape[1:])
        gathered[self.rank_rows] = values
        torch.distributed.all_reduce(gathered)
        return gathered

    def _draw(self, sampler: Callable[..., Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
        draw = sampler(self.global_size, *shape, generator=seeded_generator(self.seed, self.step, name))
        return draw[self.rank_rows].to(self.pixels.device, non_blocking=True)


def batches(
    images: Images | StreamedImages,
    batch_size: int,
    *,
    seed: int,
    step: int = 0,
    rank: int = 0,
    world: int = 1,
    domain_b: Images | StreamedImages | None = None,
) -> Iterator[Batch]:
    """Rank `rank`'s rows of an endless stream of global batches of `batch_size`, starting at any `step`. Every epoch
    visits each image once in an order drawn from (seed, epoch); a batch may straddle two epochs. Each batch carries one
    of `domain_b` as well, in an order of its own: the two are unpaired."""
    if domain_b is not None:
        domains = ((images, seed), (domain_b, seed + DOMAIN_B_SEED_OFFSET))
        streams = [batches(each, batch_size, seed=s, step=step, rank=rank, world=world) for each, s in domains]
        yield from (replace(one, domain_b=two) for one, two in zip(*streams, strict=True))
    rows = shard_slice(batch_size, rank, world)
    where = (batch_size, rows, seed, step)
    walk = _iterate_in_memory(images, *where) if isinstance(images, Images) else images.iterate_batches(*where)
    for at, rank_images in enumerate(walk, step):
        yield Batch(rank_images.pixels, rank_images.labels, batch_size, rows, seed, at)


def _iterate_in_memory(images: Images, batch_size: int, rows: slice, seed: int, step: int) -> Iterator[Images]:
    """The rows of a set that is in memory, every epoch in an order of the whole set."""
    epoch, order = -1, torch.empty(0, dtype=torch.long)
    for at in count(step):
        picked: list[Tensor] = []
        position, end = at * batch_size + rows.start, at * batch_size + rows.stop
        while position < end:
            needed, offset = divmod(position, len(images))
            if needed != epoch:
                epoch = needed
                order = torch.randperm(len(images), generator=seeded_generator(seed, "epoch", epoch))
                order = order.to(images.pixels.device)
            picked.append(order[offset : offset + end - position])
            position += len(picked[-1])
        yield images[torch.cat(picked)]
