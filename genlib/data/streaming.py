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

from genlib.data.batches import seeded, share
from genlib.data.images import Images, load_images

LANES = 16
PIECE, PIECE_BYTES = 1024, 4 * 2**20  # images of a piece, at the most, and bytes, unless one image has more


@dataclass(frozen=True)
class Piece:
    """Rows `start` to `stop` of a set, in an order drawn from the seed and the epoch."""

    start: int
    stop: int
    seed: int
    epoch: int

    def __len__(self) -> int:
        return self.stop - self.start

    def order(self) -> Tensor:
        """The row [n] of each place."""
        return self.start + torch.randperm(len(self), generator=seeded(self.seed, "piece", self.epoch, self.start))


Read = Callable[[Iterator[Piece]], Iterator[Images]]


@dataclass(frozen=True)
class Mapped:
    """Reads pieces of the file `path`, which is mapped into memory, not loaded."""

    path: Path

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[Images]:
        images = load_images(self.path)
        return (images[piece.order()] for piece in pieces)


@dataclass(frozen=True)
class Kept:
    """Reads pieces of images in memory."""

    images: Images

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[Images]:
        return (self.images[piece.order()] for piece in pieces)


@dataclass(frozen=True)
class Both:
    """Reads pieces of two sets as of one, of which the first has `size` rows; where a piece has rows of both, those of
    the first come first."""

    size: int
    first: Read
    second: Read

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[Images]:
        planned, a, b = tee(pieces, 3)
        firsts = self.first(replace(p, stop=min(p.stop, self.size)) for p in a if p.start < self.size)
        seconds = self.second(
            replace(p, start=max(p.start - self.size, 0), stop=p.stop - self.size) for p in b if p.stop > self.size
        )
        for piece in planned:
            parts = [next(firsts)] if piece.start < self.size else []
            yield Images.joined([*parts, next(seconds)] if piece.stop > self.size else parts)


@dataclass(frozen=True)
class Streamed:
    """A set of `size` images, of which `read` gives pieces of `piece` images in the order in which it is asked."""

    size: int
    read: Read
    piece: int = PIECE
    device: torch.device | str = "cpu"

    @classmethod
    def of(cls, size: int, shape: Sequence[int], read: Read) -> Streamed:
        """Images of this shape (C, H, W), in pieces of a size that fits them."""
        return cls(size, read, max(1, min(PIECE, PIECE_BYTES // math.prod(shape))))

    @classmethod
    def all(cls, images: Images | Streamed) -> Streamed:
        """A set that is at hand, read as one that is not."""
        return cls.of(len(images), images.shape, Kept(images)) if isinstance(images, Images) else images

    def __add__(self, more: Streamed) -> Streamed:
        """Both sets, one after the other."""
        read = Both(self.size, self.read, more.read)
        return Streamed(self.size + more.size, read, min(self.piece, more.piece), self.device)

    def __len__(self) -> int:
        return self.size

    def to(self, device: torch.device | str) -> Streamed:
        return replace(self, device=device)

    def lanes(self, batch_size: int) -> int:
        """How many lanes the set has for global batches of this size: as many as give the same number of rows each."""
        return max(n for n in range(1, min(LANES, self.size) + 1) if batch_size % n == 0)

    def walk(self, batch_size: int, seed: int, step: int, rank: int, world: int) -> Iterator[Images]:
        """Rank `rank`'s rows of every global batch from `step` on; endless."""
        rows, number = share(batch_size, rank, world), self.lanes(batch_size)
        every = [
            Lane(each, share(self.size, each, number), share(batch_size, each, number), self.piece)
            for each in range(number)
        ]
        lanes = [lane for lane in every if lane.rows.start < rows.stop and rows.start < lane.rows.stop]
        planned, asked = tee(merge(*(lane.pieces(seed, step) for lane in lanes)))
        arriving = zip(planned, self.read(piece for *_, piece in asked), strict=True)
        held = [Held() for _ in every]
        for at in count(step):
            parts: list[Images] = []
            for lane in lanes:
                first, last = lane.span(at, rows)
                while held[lane.number].end < last:
                    (_, owner, place, _), images = next(arriving)
                    held[owner].add(place, images)
                parts += held[lane.number].take(first, last)
            yield Images.joined(parts).to(self.device)


class Held:
    """What has arrived of a lane and is not taken yet."""

    def __init__(self) -> None:
        self.parts: deque[tuple[int, Images]] = deque()
        self.end = 0

    def add(self, place: int, images: Images) -> None:
        """Images whose first is at `place` of the lane's endless stream."""
        self.parts.append((place, images))
        self.end = place + len(images)

    def take(self, first: int, last: int) -> list[Images]:
        """Those at places `first` to `last`; what lies before `first` is dropped."""
        while self.parts[0][0] + len(self.parts[0][1]) <= first:
            self.parts.popleft()
        return [images[max(0, first - place) : last - place] for place, images in self.parts if place < last]


@dataclass(frozen=True)
class Lane:
    """Lane `number`: `held` are its rows of the set, `rows` those of every global batch that it fills."""

    number: int
    held: slice
    rows: slice
    piece: int

    @property
    def width(self) -> int:
        return int(self.rows.stop) - int(self.rows.start)

    def span(self, step: int, rows: slice) -> tuple[int, int]:
        """The places, in the lane's endless stream, of what it gives to `rows` of the global batch of `step`."""
        first, last = max(self.rows.start, rows.start), min(self.rows.stop, rows.stop)
        return step * self.width + first - self.rows.start, step * self.width + last - self.rows.start

    def pieces(self, seed: int, step: int) -> Iterator[tuple[int, int, int, Piece]]:
        """Endless, from the one that `step` needs first: the step that first needs a piece, the lane, the piece's place
        in the lane's endless stream, and the piece."""
        starts = range(self.held.start, self.held.stop, self.piece)
        length = self.held.stop - self.held.start
        for epoch in count(step * self.width // length):
            place = epoch * length
            for each in torch.randperm(len(starts), generator=seeded(seed, "lane", self.number, epoch)).tolist():
                piece = Piece(starts[each], min(starts[each] + self.piece, self.held.stop), seed, epoch)
                if place + len(piece) > step * self.width:
                    yield place // self.width, self.number, place, piece
                place += len(piece)
