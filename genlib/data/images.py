"""Labelled images: conversion to floats, resizing, hashing, reading and writing.

Images are uint8 in memory; models see floats: x = 2 * pixels / 255 - 1, so 0 is -1 and 255 is +1.
"""

import hashlib
import io
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from genlib.data.arrays import open_safetensors
from genlib.data.pixels import Pixels, hold_if_small, iter_pieces, select_rows
from genlib.data.resizing import Resize, scaled_size, window
from genlib.errors import InputError
from genlib.files import atomic_path, write_bytes

MAX_IN_MEMORY_BYTES = 2 * 2**30  # larger sets are streamed
CHUNK = 1024  # images that are copied at a time
MAX_CHUNK = 500  # images that pass through a net at a time, at most
CHUNK_VALUES = MAX_CHUNK * 3 * 32 * 32  # numbers of those images, at most, unless one image has more


@dataclass(frozen=True)
class Images:
    """N images: `pixels` uint8 [N, C, H, W]; `labels` int64 [N], or None for a set without labels. Synthetic sets may
    hold floats in [-1, 1] instead: a point of the plane is [2, 1, 1]."""

    pixels: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor | slice) -> "Images":
        return Images(self.pixels[index], None if self.labels is None else self.labels[index])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def __add__(self, more: "Images") -> "Images":
        return Images.concat([self, more])

    @classmethod
    def concat(cls, parts: Sequence[Self]) -> Self:
        if len(parts) == 1:
            return parts[0]
        return cls(torch.cat([part.pixels for part in parts]), concat_labels(parts))

    def to(self, device: torch.device | str) -> "Images":
        return Images(self.pixels.to(device), None if self.labels is None else self.labels.to(device))


@dataclass(frozen=True)
class StoredImages:
    """As `Images`, of pixels uint8 [N, C, H, W] that may stay in a file: an index reads no pixels."""

    pixels: Pixels
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor | slice) -> "StoredImages":
        return StoredImages(select_rows(self.pixels, index), None if self.labels is None else self.labels[index])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def read(self) -> Images:
        return Images(self.pixels[:], self.labels)


AnyImages = Images | StoredImages


def concat_labels(parts: Sequence[AnyImages]) -> Tensor | None:
    """The labels of all parts; None unless all have them."""
    labels = [part.labels for part in parts if part.labels is not None]
    return torch.cat(labels) if len(labels) == len(parts) else None


def to_float(pixels: Tensor) -> Tensor:
    """uint8 [0, 255] -> float32 [-1, 1]; floats stay as they are."""
    return pixels if pixels.is_floating_point() else pixels.float().mul_(2 / 255).sub_(1)


def to_pixels(x: Tensor) -> Tensor:
    """Float [-1, 1] -> uint8 [0, 255], rounded to nearest and clipped; the inverse of `to_float` on its range."""
    return x.float().add(1).mul_(255 / 2).round_().clamp_(0, 255).to(torch.uint8)


def chunk_length(row_shape: Sequence[int]) -> int:
    """Rows of this shape that pass through a net at a time: 500 images up to 3x32x32, 31 of 3x128x128."""
    return max(1, min(MAX_CHUNK, CHUNK_VALUES // math.prod(row_shape)))


def is_binary(pixels: Tensor) -> bool:
    """Whether all of uint8 [n, C, H, W] are black or white."""
    return all(bool(((part == 0) | (part == 255)).all()) for part in torch.split(pixels, CHUNK))


def round_to_pixels(values: Tensor) -> Tensor:
    """float64 [0, 255], in place, -> uint8; ties are rounded up, so that every machine gets the same bytes."""
    return values.add_(0.5 + 1e-6).floor_().clamp_(0, 255).to(torch.uint8)


def dequantize(x: Tensor, u: Tensor) -> Tensor:
    """Grey level p, as floats in [-1, 1] -> 2 (p + u) / 256 - 1, u uniform in [0, 1): its density bounds a likelihood
    (Theis, van den Oord and Bethge 2016, "A note on the evaluation of generative models")."""
    return (255 * (x + 1) / 2 + u) / 128 - 1


def resize(images: Images, height: int, width: int, how: Resize = "squash", *, chunk: int = CHUNK) -> Images:
    """To [N, C, height, width], bicubic in float64 with antialiasing, overshoot clipped."""
    if (own := images.shape[1:]) == (height, width):
        return images
    scaled = scaled_size(own, (height, width), how)
    left, top, right, bottom = window(scaled, (height, width))
    margins = (-left, right - scaled[1], -top, bottom - scaled[0])  # of black; negative: what is cut off
    chunks = (pixels.double() for pixels in torch.split(images.pixels, chunk))
    resized = (F.interpolate(pixels, scaled, mode="bicubic", antialias=True) for pixels in chunks)
    return Images(torch.cat([F.pad(round_to_pixels(pixels), margins) for pixels in resized]), images.labels)


def concat_resized(sets: Sequence[Images], size: Sequence[int] | None, how: Resize = "squash") -> Images:
    """The sets one after the other, resized to `size` (H, W) where given; labelled if all are, RGB if one is."""
    channels, own = max(images.shape[0] for images in sets), list(sets[0].shape[1:])
    for images in sets:
        if size is None and list(images.shape[1:]) != own:
            sizes = f"{own} and {list(images.shape[1:])}"
            raise InputError(f"data.image_size: got null, but images of {sizes}, expected a size")
    height, width = size or own
    if len(sets) == 1 and [height, width] == own:
        return sets[0]
    pixels, start = allocate_pixels(sum(map(len, sets)), (channels, height, width)), 0
    for chunk in (chunk for images in sets for chunk in torch.split(images.pixels, CHUNK)):
        pixels[start : start + len(chunk)] = resize(Images(chunk), height, width, how).pixels
        start += len(chunk)
    return Images(pixels, concat_labels(sets))


def images_sha256(parts: Mapping[str, AnyImages]) -> str:
    """SHA-256 over shapes, pixels and labels of the parts in order, each after its name."""
    digest = hashlib.sha256()
    for name, images in parts.items():
        digest.update(f"{name}{tuple(images.pixels.shape)} {images.labels is not None};".encode())
        for piece in iter_pieces(images.pixels):
            digest.update(piece.contiguous().numpy().data)
        if images.labels is not None:
            digest.update(images.labels.numpy().astype("<i8").data)
    return digest.hexdigest()


def allocate_pixels(count: int, shape: Sequence[int]) -> Tensor:
    """Space for `count` images, uint8 [count, *shape]; above MAX_IN_MEMORY_BYTES in a file without a name, of which the
    system keeps in memory what fits. It is gone with the tensor. Raises OSError where `TMPDIR` is full."""
    size = count * math.prod(shape)
    if size <= MAX_IN_MEMORY_BYTES:
        return torch.empty(count, *shape, dtype=torch.uint8)
    with tempfile.NamedTemporaryFile(prefix="genlib-") as file:
        if hasattr(os, "posix_fallocate"):  # without it a full disk is only seen on writing, as a signal
            os.posix_fallocate(file.fileno(), 0, size)
        return torch.from_file(file.name, shared=True, size=size, dtype=torch.uint8).view(count, *shape)


def save_images(images: Images, path: Path, indices: Tensor | None = None) -> None:
    """Write the images, or those at `indices` [n], as a safetensors file of `pixels` and, where there are, `labels`,
    with at most CHUNK images in memory: safetensors' own writer copies the whole set."""
    chosen = torch.arange(len(images)) if indices is None else indices
    labels = b"" if images.labels is None else images.labels[chosen].numpy().astype("<i8").tobytes()
    start, end = len(labels), len(labels) + len(chosen) * math.prod(images.shape)
    tensors: dict[str, Any] = {"labels": {"dtype": "I64", "shape": [len(chosen)], "data_offsets": [0, start]}}
    if images.labels is None:
        tensors = {}
    tensors["pixels"] = {"dtype": "U8", "shape": [len(chosen), *images.shape], "data_offsets": [start, end]}
    header = json.dumps(tensors, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header + labels)
        for rows in torch.split(chosen, CHUNK):
            file.write(images.pixels[rows].contiguous().numpy().data)


def load_images(path: Path) -> Images:
    """Read what `save_images` wrote, mapped into memory; raises InputError where the file is not of that form."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: not a readable image set ({error}); run the `prepare` stage") from error
    pixels, labels = tensors.get("pixels"), tensors.get("labels")
    _require_image_form(path, pixels, labels)
    assert pixels is not None
    return Images(pixels, labels)


def open_images(path: Path) -> StoredImages:
    """What `save_images` wrote; pixels of more than MAX_HELD_BYTES stay in the file. Raises InputError as
    `load_images`."""
    tensors = open_safetensors(path)
    pixels, labels = tensors.get("pixels"), tensors.get("labels")
    _require_image_form(path, pixels, labels)
    assert pixels is not None
    return StoredImages(hold_if_small(pixels), None if labels is None else labels[:])


def _require_image_form(path: Path, pixels: Pixels | None, labels: Pixels | None) -> None:
    if pixels is None or pixels.dtype != torch.uint8 or pixels.ndim != 4:
        raise InputError(f"{path}: got no uint8 `pixels` of shape [N, C, H, W]; run the `prepare` stage")
    if labels is not None and (labels.dtype, labels.shape) != (torch.int64, pixels.shape[:1]):
        raise InputError(f"{path}: got `labels` that are not int64 of shape [N]; run the `prepare` stage")


def make_grid(pixels: Tensor, columns: int | None = None) -> Tensor:
    """[N, C, H, W] -> one image [C, rows (H + 1) + 1, columns (W + 1) + 1], a grey line between images."""
    n, channels, height, width = pixels.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    cells = torch.full((rows * columns, channels, height + 1, width + 1), 128, dtype=torch.uint8)
    cells[:n, :, 1:, 1:] = pixels
    cells = cells.view(rows, columns, channels, height + 1, width + 1).permute(2, 0, 3, 1, 4)
    return F.pad(cells.reshape(channels, rows * (height + 1), columns * (width + 1)), (0, 1, 0, 1), value=128)


def encode_png(image: Tensor, scale: int = 1) -> bytes:
    """uint8 [C, H, W] (one channel grey, three RGB) as PNG, each pixel `scale` wide."""
    from PIL import Image

    array = image.permute(1, 2, 0).repeat_interleave(scale, 0).repeat_interleave(scale, 1).numpy()
    file = io.BytesIO()
    Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array).save(file, format="png")
    return file.getvalue()


def write_png(image: Tensor, path: Path, scale: int = 1) -> None:
    write_bytes(encode_png(image, scale), path)


def write_grid(pixels: Tensor, path: Path, columns: int | None = None) -> None:
    """Write N images as one grid, enlarged so that small ones can be seen."""
    write_png(make_grid(pixels, columns), path, scale=max(1, 64 // pixels.shape[-1]))
