"""Sets too large to be held: read piece by piece, wherever the file is, in an order that all workers share.

The rows are cut into lanes of equal length, a lane into pieces of consecutive rows. A global batch takes an equal share
of every lane, so its rows come from as many places as there are lanes; each epoch, a lane visits its pieces in an order
drawn anew, and the rows of a piece in one drawn anew. A rank reads the lanes that its rows lie in and no others, and
the batches of N workers together are those of one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import count, tee
from pathlib import Path

import torch
from torch import Tensor

from genlib.data.images import Images, load_images
from genlib.data.random import seeded_generator, shard_slice

MAX_STRIPES = 16
BLOCK_SIZE, BLOCK_BYTES = 1024, 4 * 2**20  # images of a piece, at the most, and bytes, unless one image has more


@dataclass(frozen=True)
class Block:
    """Rows `start` to `stop` of a set, in an order drawn from the seed and the epoch."""

    start: int
    stop: int
    seed: int
    epoch: int

    def __len__(self) -> int:
        return self.stop - self.start

    def shuffled_rows(self) -> Tensor:
        """The row [n] of each place."""
        return self.start + torch.randperm(
            len(self), generator=seeded_generator(self.seed, "piece", self.epoch, self.start)
        )


BlockReader = Callable[[Iterator[Block]], Iterator[Images]]


@dataclass(frozen=True)
class MmapReader:
    """Reads pieces of the file `path`, which is mapped into memory, not loaded."""

    path: Path

    def __call__(self, blocks: Iterator[Block]) -> Iterator[Images]:
        images = load_images(self.path)
        return (images[piece.shuffled_rows()] for piece in blocks)


@dataclass(frozen=True)
class InMemoryReader:
    """Reads pieces of images in memory."""

    images: Images

    def __call__(self, blocks: Iterator[Block]) -> Iterator[Images]:
        return (self.images[piece.shuffled_rows()] for piece in blocks)


@dataclass(frozen=True)
class ConcatReader:
    """Reads pieces of two sets as of one, of which the first has `size` rows; where a piece has rows of both, those of
    the first come first."""

    first_size: int
    first: BlockReader
    second: BlockReader

    def __call__(self, blocks: Iterator[Block]) -> Iterator[Images]:
        planned, a, b = tee(blocks, 3)
        firsts = self.first(replace(p, stop=min(p.stop, self.first_size)) for p in a if p.start < self.first_size)
        seconds = self.second(
            replace(p, start=max(p.start - self.first_size, 0), stop=p.stop - self.first_size)
            for p in b
            if p.stop > self.first_size
        )
        for piece in planned:
            parts = [next(firsts)] if piece.start < self.first_size else []
            yield Images.concat([*parts, next(seconds)] if piece.stop > self.first_size else parts)


@dataclass(frozen=True)
class StreamedImages:
    """A set of `size` images, of which `read` gives pieces of `piece` images in the order in which it is asked."""

    size: int
    reader: BlockReader
    block_size: int = BLOCK_SIZE
    device: torch.device | str = "cpu"

    @classmethod
    def from_reader(cls, size: int, shape: Sequence[int], reader: BlockReader) -> StreamedImages:
        """Images of this shape (C, H, W), in pieces of a size that fits them."""
        return cls(size, reader, max(1, min(BLOCK_SIZE, BLOCK_BYTES // math.prod(shape))))

    @classmethod
    def from_images(cls, images: Images | StreamedImages) -> StreamedImages:
        """A set that is at hand, read as one that is not."""
        return (
            cls.from_reader(len(images), images.shape, InMemoryReader(images)) if isinstance(images, Images) else images
        )

    def __add__(self, more: StreamedImages) -> StreamedImages:
        """Both sets, one after the other."""
        read = ConcatReader(self.size, self.reader, more.reader)
        return StreamedImages(self.size + more.size, read, min(self.block_size, more.block_size), self.device)

    def __len__(self) -> int:
        return self.size

    def to(self, device: torch.device | str) -> StreamedImages:
        return replace(self, device=device)

    def num_stripes(self, batch_size: int) -> int:
        """How many lanes the set has for global batches of this size: as many as give the same number of rows each."""
        return max(n for n in range(1, min(MAX_STRIPES, self.size) + 1) if batch_size % n == 0)

    def iterate_batches(self, batch_size: int, seed: int, step: int, rank: int, world: int) -> Iterator[Images]:
        """Rank `rank`'s rows of every global batch from `step` on; endless."""
        rows, number = shard_slice(batch_size, rank, world), self.num_stripes(batch_size)
        every = [
            Stripe(each, shard_slice(self.size, each, number), shard_slice(batch_size, each, number), self.block_size)
            for each in range(number)
        ]
        lanes = [lane for lane in every if lane.batch_rows.start < rows.stop and rows.start < lane.batch_rows.stop]
        planned, asked = tee(merge(*(lane.iterate_blocks(seed, step) for lane in lanes)))
        arriving = zip(planned, self.reader(piece for *_, piece in asked), strict=True)
        held = [StripeBuffer() for _ in every]
        for at in count(step):
            parts: list[Images] = []
            for lane in lanes:
                first, last = lane.stream_range(at, rows)
                while held[lane.index].end < last:
                    (_, owner, place, _), images = next(arriving)
                    held[owner].add(place, images)
                parts += held[lane.index].take_range(first, last)
            yield Images.concat(parts).to(self.device)


class StripeBuffer:
    """What has arrived of a lane and is not taken yet."""

    def __init__(self) -> None:
        self.parts: deque[tuple[int, Images]] = deque()
        self.end = 0

    def add(self, place: int, images: Images) -> None:
        """Images whose first is at `place` of the lane's endless stream."""
        self.parts.append((place, images))
        self.end = place + len(images)

    def take_range(self, first: int, last: int) -> list[Images]:
        """Those at places `first` to `last`; what lies before `first` is dropped."""
        while self.parts[0][0] + len(self.parts[0][1]) <= first:
            self.parts.popleft()
        return [images[max(0, first - place) : last - place] for place, images in self.parts if place < last]


@dataclass(frozen=True)
class Stripe:
    """Lane `number`: `held` are its rows of the set, `rows` those of every global batch that it fills."""

    index: int
    set_rows: slice
    batch_rows: slice
    block_size: int

    @property
    def rows_per_batch(self) -> int:
        return int(self.batch_rows.stop) - int(self.batch_rows.start)

    def stream_range(self, step: int, rows: slice) -> tuple[int, int]:
        """The places, in the lane's endless stream, of what it gives to `rows` of the global batch of `step`."""
        first, last = max(self.batch_rows.start, rows.start), min(self.batch_rows.stop, rows.stop)
        return (
            step * self.rows_per_batch + first - self.batch_rows.start,
            step * self.rows_per_batch + last - self.batch_rows.start,
        )

    def iterate_blocks(self, seed: int, step: int) -> Iterator[tuple[int, int, int, Block]]:
        """Endless, from the one that `step` needs first: the step that first needs a piece, the lane, the piece's place
        in the lane's endless stream, and the piece."""
        starts = range(self.set_rows.start, self.set_rows.stop, self.block_size)
        length = self.set_rows.stop - self.set_rows.start
        for epoch in count(step * self.rows_per_batch // length):
            place = epoch * length
            for each in torch.randperm(
                len(starts), generator=seeded_generator(seed, "lane", self.index, epoch)
            ).tolist():
                piece = Block(starts[each], min(starts[each] + self.block_size, self.set_rows.stop), seed, epoch)
                if place + len(piece) > step * self.rows_per_batch:
                    yield place // self.rows_per_batch, self.index, place, piece
                place += len(piece)
