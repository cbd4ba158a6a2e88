"""Pixels in memory or in a file: evaluation reads the images that it needs, a piece at a time.

A mapped file counts as memory once it is touched. Files are read by offset here, so that only pieces are held.
"""

import math
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import IO, Self, overload

import torch
from torch import Tensor

from genlib.errors import InputError

MAX_HELD_BYTES = 128 * 2**20  # the pixels of a larger set stay in a file
PIECE_BYTES = 4 * 2**20  # that are read at a time, unless one image has more


class FileHandle:
    """An open file, closed when nothing refers to it any more."""

    def __init__(self, file: IO[bytes]) -> None:
        self.descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self.descriptor)

    @classmethod
    def open(cls, path: Path) -> Self:
        with path.open("rb") as file:
            return cls(file)

    @classmethod
    def without_name(cls) -> Self:
        """An empty file in `TMPDIR` to write, which is gone with the handle."""
        with tempfile.TemporaryFile() as file:
            return cls(file)

    def read_into(self, buffer: memoryview, offset: int) -> None:
        while buffer:
            count = os.preadv(self.descriptor, [buffer], offset)
            if not count:
                raise InputError("got a file of images that has become shorter meanwhile, expected the same as before")
            buffer, offset = buffer[count:], offset + count

    def append(self, data: memoryview) -> None:
        try:
            while data:
                data = data[os.write(self.descriptor, data) :]
        except OSError as error:
            found = f"{tempfile.gettempdir()}, which cannot be written ({error.strerror})"
            raise InputError(f"TMPDIR: got {found}, expected room for all images, decoded") from error


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """N arrays of `item_shape` in a file, one after the other from `offset` on, those of `rows` [N] in that order. An
    index reads them: `pixels[0]` [C, H, W], `pixels[rows]` [n, C, H, W]."""

    file: FileHandle
    offset: int
    item_shape: tuple[int, ...]
    rows: Tensor
    dtype: torch.dtype = torch.uint8

    @classmethod
    def open(cls, path: Path, offset: int, shape: Sequence[int], dtype: torch.dtype = torch.uint8) -> Self:
        return cls(FileHandle.open(path), offset, tuple(shape[1:]), torch.arange(shape[0]), dtype)

    @property
    def shape(self) -> torch.Size:
        return torch.Size([len(self.rows), *self.item_shape])

    @property
    def ndim(self) -> int:
        return 1 + len(self.item_shape)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        rows = self.rows[index]
        values = torch.empty(*rows.shape, *self.item_shape, dtype=self.dtype)
        if values.numel():
            self._read_into(values.flatten().view(torch.uint8).numpy().data, rows.flatten())
        return values

    def select(self, index: slice | Tensor) -> Self:
        """Those rows, without reading them."""
        return replace(self, rows=self.rows[index])

    def _read_into(self, buffer: memoryview, rows: Tensor) -> None:
        """One read for each run of consecutive rows."""
        size = len(buffer) // len(rows)
        ends = [0, *((rows.diff() != 1).nonzero().flatten() + 1).tolist(), len(rows)]
        for (start, stop), first in zip(pairwise(ends), rows[ends[:-1]].tolist(), strict=True):
            self.file.read_into(buffer[start * size : stop * size], self.offset + first * size)


Pixels = Tensor | StoredPixels


@overload
def select_rows(pixels: Tensor, index: slice | Tensor) -> Tensor: ...
@overload
def select_rows(pixels: Pixels, index: slice | Tensor) -> Pixels: ...
def select_rows(pixels: Pixels, index: slice | Tensor) -> Pixels:
    """The rows at `index`; what is in a file stays there."""
    return pixels.select(index) if isinstance(pixels, StoredPixels) else pixels[index]


def iter_pieces(pixels: Pixels, size: int | None = None) -> Iterator[Tensor]:
    """The pixels in order, `size` images at a time, or as many as PIECE_BYTES hold; of none, one empty
    piece."""
    size = images_within(PIECE_BYTES, pixels.shape[1:]) if size is None else size
    return (pixels[start : start + size] for start in range(0, len(pixels) or 1, size))


def fill_rows(pieces: Iterable[tuple[Tensor, ...]], count: int) -> tuple[Tensor, ...]:
    """Each part of the pieces, one after the other, `count` rows in all: as torch.cat. They are written to their place
    as they come: small tensors that outlive the large ones of a loop would keep the heap from shrinking."""
    filled: tuple[Tensor, ...] = ()
    start = 0
    for piece in pieces:
        filled = filled or tuple(part.new_empty(count, *part.shape[1:]) for part in piece)
        for whole, part in zip(filled, piece, strict=True):
            whole[start : start + len(part)] = part
        start += len(piece[0])
    return filled


def flat_float64(x: Tensor) -> Tensor:
    """[n, ...] as rows, a copy, float64 [n, d]."""
    return x.flatten(1).to(torch.float64, copy=True)


def images_within(num_bytes: int, shape: Sequence[int]) -> int:
    """How many images of this shape have so many bytes, at least one."""
    return max(1, num_bytes // math.prod(shape))


def store_pixels(pieces: Iterable[Tensor], shape: Sequence[int], dtype: torch.dtype = torch.uint8) -> Pixels:
    """The pieces [n, *shape[1:]] of at most shape[0] images, one after the other: in memory up to MAX_HELD_BYTES, else
    in a file without a name, which is gone with them."""
    if math.prod(shape) * dtype.itemsize <= MAX_HELD_BYTES:
        return torch.cat([torch.empty(0, *shape[1:], dtype=dtype), *pieces])
    file, count = FileHandle.without_name(), 0
    for piece in pieces:
        file.append(_bytes_of(piece))
        count += len(piece)
    return StoredPixels(file, 0, tuple(shape[1:]), torch.arange(count), dtype)


def _bytes_of(pixels: Tensor) -> memoryview:
    return pixels.contiguous().flatten().view(torch.uint8).numpy().data


def hold_if_small(pixels: StoredPixels) -> Pixels:
    """In memory up to MAX_HELD_BYTES."""
    return pixels[:] if math.prod(pixels.shape) * pixels.dtype.itemsize <= MAX_HELD_BYTES else pixels


class PixelSpool:
    """Images uint8 [C, H, W] of any shapes, appended one by one: in memory up to MAX_HELD_BYTES, beyond that in a file
    without a name, which is gone with them."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int, int]] = []
        self._offsets = [0]
        self._held: list[Tensor] = []
        self._file: FileHandle | None = None

    def append(self, pixels: Tensor) -> None:
        channels, height, width = pixels.shape
        self.shapes.append((channels, height, width))
        self._offsets.append(self._offsets[-1] + pixels.numel())
        self._held.append(pixels)
        if self._offsets[-1] > MAX_HELD_BYTES:
            self._file = self._file or FileHandle.without_name()
            for image in self._held:
                self._file.append(_bytes_of(image))
            self._held = []

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, row: int) -> Tensor:
        if self._file is None:
            return self._held[row]
        return StoredPixels(self._file, self._offsets[row], self.shapes[row], torch.arange(1))[0]

    def as_pixels(self) -> Pixels:
        """All of them, which must be of one shape."""
        if self._file is None:
            return torch.stack(self._held)
        return StoredPixels(self._file, 0, self.shapes[0], torch.arange(len(self)))
