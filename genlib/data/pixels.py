"""Pixels in memory or in a file: evaluation reads the images that it needs, a piece at a time.

A mapped file counts as memory once it is touched. Files are read by offset here, so that only pieces are held.
"""

import json
import math
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Self, overload

import torch
from torch import Tensor

from genlib.errors import InputError, one_line

MAX_HELD_BYTES = 128 * 2**20  # the pixels of a larger set stay in a file
MAX_HEADER_BYTES = 100 * 10**6  # that safetensors allows
PIECE_BYTES = 4 * 2**20  # that are read at a time, unless one image has more
DTYPES = {
    **{"BOOL": torch.bool, "U8": torch.uint8, "U16": torch.uint16, "U32": torch.uint32, "U64": torch.uint64},
    **{"I8": torch.int8, "I16": torch.int16, "I32": torch.int32, "I64": torch.int64},
    **{"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64},
}  # by the names of safetensors


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """N arrays of `item_shape` in a file, one after the other from `offset` on, those of `rows` [N] in that order. An
    index reads them: `pixels[0]` [C, H, W], `pixels[rows]` [n, C, H, W]."""

    file: IO[bytes]
    offset: int
    item_shape: tuple[int, ...]
    rows: Tensor
    dtype: torch.dtype = torch.uint8

    @classmethod
    def open(cls, path: Path, offset: int, shape: Sequence[int], dtype: torch.dtype = torch.uint8) -> Self:
        file = path.open("rb", buffering=0)
        return cls(file, offset, tuple(shape[1:]), torch.arange(shape[0]), dtype)

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
            self._read_into(memoryview(values.flatten().view(torch.uint8).numpy()), rows.flatten())
        return values

    def select(self, index: slice | Tensor) -> Self:
        """Those rows, without reading them."""
        return replace(self, rows=self.rows[index])

    def _read_into(self, buffer: memoryview, rows: Tensor) -> None:
        """One read for each run of consecutive rows."""
        size = len(buffer) // len(rows)
        ends = [0, *((rows.diff() != 1).nonzero().flatten() + 1).tolist(), len(rows)]
        for (start, stop), first in zip(pairwise(ends), rows[ends[:-1]].tolist(), strict=True):
            self.file.seek(self.offset + first * size)
            part = buffer[start * size : stop * size]
            while part:
                count = self.file.readinto(part)  # type: ignore[attr-defined]
                if not count:
                    raise InputError(f"{getattr(self.file, 'name', '')}: got a file that has become shorter meanwhile")
                part = part[count:]


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


def images_within(num_bytes: int, shape: Sequence[int]) -> int:
    """How many images of this shape have so many bytes, at least one."""
    return max(1, num_bytes // math.prod(shape))


def store_pixels(pieces: Iterable[Tensor], shape: Sequence[int]) -> Pixels:
    """The pieces [n, *shape[1:]] of at most shape[0] images, one after the other: in memory up to MAX_HELD_BYTES, else
    in a file without a name, which is gone with them."""
    if math.prod(shape) <= MAX_HELD_BYTES:
        return torch.cat([torch.empty(0, *shape[1:], dtype=torch.uint8), *pieces])
    file, count = _open_nameless(), 0
    for piece in pieces:
        _write(file, piece)
        count += len(piece)
    return StoredPixels(file, 0, tuple(shape[1:]), torch.arange(count))


def _open_nameless() -> IO[bytes]:
    return tempfile.TemporaryFile(prefix="genlib-")


def _write(file: IO[bytes], pixels: Tensor) -> None:
    try:
        file.write(pixels.contiguous().numpy().data)
        file.flush()
    except OSError as error:
        found = f"a folder that cannot be written ({error.strerror})"
        raise InputError(
            f"TMPDIR: got {found}, expected room for all images, decoded, in {tempfile.gettempdir()}"
        ) from error


class PixelSpool:
    """Images uint8 [C, H, W] of any shapes, appended one by one: in memory up to MAX_HELD_BYTES, beyond that in a file
    without a name, which is gone with them."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int, int]] = []
        self._offsets = [0]
        self._held: list[Tensor] = []
        self._file: IO[bytes] | None = None

    def append(self, pixels: Tensor) -> None:
        channels, height, width = pixels.shape
        self.shapes.append((channels, height, width))
        self._offsets.append(self._offsets[-1] + pixels.numel())
        self._held.append(pixels)
        if self._offsets[-1] > MAX_HELD_BYTES:
            self._file = self._file or _open_nameless()
            for image in self._held:
                _write(self._file, image)
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


def open_safetensors(path: Path) -> dict[str, StoredPixels]:
    """The tensors of a safetensors file by name, unread. Raises InputError where it is not of that form."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(size, MAX_HEADER_BYTES)))
        header.pop("__metadata__", None)
        return {name: _open_tensor(path, 8 + size, entry) for name, entry in header.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: got a file that cannot be read ({one_line(error)}), expected safetensors") from error


def _open_tensor(path: Path, data_start: int, entry: Mapping[str, Any]) -> StoredPixels:
    dtype, shape, (start, stop) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    if stop - start != math.prod(shape) * dtype.itemsize or data_start + stop > path.stat().st_size:
        raise ValueError("it is cut short")
    return StoredPixels.open(path, data_start + start, shape, dtype)
