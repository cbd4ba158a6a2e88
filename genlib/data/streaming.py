"""Sets larger than the memory, streamed in blocks from wherever the file is, in an order that all workers share.

The rows are cut into stripes of equal length, a stripe into blocks of consecutive rows. A global batch takes an equal
share of every stripe. Each epoch draws the order of a stripe's blocks, and of the rows in a block, anew. A rank reads
only the stripes that its rows lie in, and the batches of N workers together are those of one.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from heapq import merge
from itertools import count, tee
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from genlib.data.images import Images, load_images
from genlib.data.random import seeded_generator, shard_slice

MAX_STRIPES = 16
BLOCK_SIZE, BLOCK_BYTES = 1024, 4 * 2**20  # of a block, at most, unless one image has more bytes


@dataclass(frozen=True)
class Block:
    start: int
    stop: int
    seed: int
    epoch: int

    def __len__(self) -> int:
        return self.stop - self.start

    def shuffled_rows(self) -> Tensor:
        """The rows [n], in an order drawn from the seed and the epoch."""
        generator = seeded_generator(self.seed, "piece", self.epoch, self.start)
        return self.start + torch.randperm(len(self), generator=generator)


BlockReader = Callable[[Iterator[Block]], Iterator[Images]]


@dataclass(frozen=True)
class MmapReader:
    """Reads blocks of the file `path`, mapped into memory."""

    path: Path

    def __call__(self, blocks: Iterator[Block]) -> Iterator[Images]:
        return read_blocks(load_images(self.path), blocks)


def read_blocks(images: Images, blocks: Iterator[Block]) -> Iterator[Images]:
    return (images[block.shuffled_rows()] for block in blocks)


@dataclass(frozen=True)
class ConcatReader:
    """Reads blocks of two sets as of one, whose first `first_size` rows are those of the first."""

    first_size: int
    first: BlockReader
    second: BlockReader

    def __call__(self, blocks: Iterator[Block]) -> Iterator[Images]:
        size, (planned, a, b) = self.first_size, tee(blocks, 3)
        firsts = self.first(replace(p, stop=min(p.stop, size)) for p in a if p.start < size)
        seconds = self.second(replace(p, start=max(p.start - size, 0), stop=p.stop - size) for p in b if p.stop > size)
        for block in planned:
            parts = [next(firsts)] if block.start < size else []
            yield Images.concat([*parts, next(seconds)] if block.stop > size else parts)


@dataclass(frozen=True)
class StreamedImages:
    """A set of `size` images, of which `reader` gives blocks of `block_size` images in the order requested."""

    size: int
    reader: BlockReader
    block_size: int = BLOCK_SIZE
    device: torch.device | str = "cpu"

    @classmethod
    def from_reader(cls, size: int, shape: Sequence[int], reader: BlockReader) -> Self:
        """Images of this shape (C, H, W), in blocks of a few megabytes."""
        return cls(size, reader, max(1, min(BLOCK_SIZE, BLOCK_BYTES // math.prod(shape))))

    @classmethod
    def from_images(cls, images: Images | Self) -> Self:
        if isinstance(images, Images):
            return cls.from_reader(len(images), images.shape, partial(read_blocks, images))
        return images

    def __add__(self, more: Self) -> Self:
        reader, block_size = ConcatReader(self.size, self.reader, more.reader), min(self.block_size, more.block_size)
        return replace(self, size=self.size + more.size, reader=reader, block_size=block_size)

    def __len__(self) -> int:
        return self.size

    def to(self, device: torch.device | str) -> Self:
        return replace(self, device=device)

    def iterate_batches(self, batch_size: int, rows: slice, seed: int, step: int) -> Iterator[Images]:
        """`rows` of every global batch from `step` on; endless."""
        # As many stripes as give a global batch equally many rows each. A stripe fills the same rows of every global
        # batch: a rank reads the stripes that its own rows lie in.
        num_stripes = max(n for n in range(1, min(MAX_STRIPES, self.size) + 1) if batch_size % n == 0)
        stripes = [
            Stripe(i, shard_slice(self.size, i, num_stripes), shard_slice(batch_size, i, num_stripes), self.block_size)
            for i in range(num_stripes)
        ]
        own_stripes = [s for s in stripes if s.batch_rows.start < rows.stop and rows.start < s.batch_rows.stop]

        # One plan of blocks for all stripes, in the order in which batches first need them; each block is read once.
        planned, requested = tee(merge(*(stripe.iterate_blocks(seed, step) for stripe in own_stripes)))
        arrivals = zip(planned, self.reader(block for *_, block in requested), strict=True)

        # Blocks wait in the buffer of their stripe until a batch takes their rows.
        buffers = [StripeBuffer() for _ in stripes]
        for at in count(step):
            parts: list[Images] = []
            for stripe in own_stripes:
                first, last = stripe.stream_range(at, rows)
                while buffers[stripe.index].end < last:
                    (_, owner, place, _), images = next(arrivals)
                    buffers[owner].add(place, images)
                parts += buffers[stripe.index].take_range(first, last)
            yield Images.concat(parts).to(self.device)


class StripeBuffer:
    """The images of a stripe that were read and not yet taken."""

    def __init__(self) -> None:
        self.parts: deque[tuple[int, Images]] = deque()
        self.end = 0

    def add(self, place: int, images: Images) -> None:
        """Images whose first is at `place` of the stripe's endless stream."""
        self.parts.append((place, images))
        self.end = place + len(images)

    def take_range(self, first: int, last: int) -> list[Images]:
        """Those at places `first` to `last`; what lies before `first` is dropped."""
        while self.parts[0][0] + len(self.parts[0][1]) <= first:
            self.parts.popleft()
        return [images[max(0, first - place) : last - place] for place, images in self.parts if place < last]


@dataclass(frozen=True)
class Stripe:
    """`set_rows`: its rows of the set; `batch_rows`: the rows of every global batch that it fills."""

    index: int
    set_rows: slice
    batch_rows: slice
    block_size: int

    @property
    def rows_per_batch(self) -> int:
        return int(self.batch_rows.stop) - int(self.batch_rows.start)

    def stream_range(self, step: int, rows: slice) -> tuple[int, int]:
        """The places, in the stripe's endless stream, of what it gives to `rows` of the global batch of `step`."""
        offset = step * self.rows_per_batch - self.batch_rows.start
        return offset + max(self.batch_rows.start, rows.start), offset + min(self.batch_rows.stop, rows.stop)

    def iterate_blocks(self, seed: int, step: int) -> Iterator[tuple[int, int, int, Block]]:
        """Endless, from the first block that `step` needs: the step that first needs the block, the stripe's index, the
        block's place in the stripe's endless stream, and the block."""
        starts = range(self.set_rows.start, self.set_rows.stop, self.block_size)
        length = self.set_rows.stop - self.set_rows.start
        for epoch in count(step * self.rows_per_batch // length):
            place = epoch * length
            order = torch.randperm(len(starts), generator=seeded_generator(seed, "lane", self.index, epoch))
            for start in (starts[each] for each in order.tolist()):
                block = Block(start, min(start + self.block_size, self.set_rows.stop), seed, epoch)
                if place + len(block) > step * self.rows_per_batch:
                    yield place // self.rows_per_batch, self.index, place, block
                place += len(block)
