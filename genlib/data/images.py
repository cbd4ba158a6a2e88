"""A labelled set of small images, and the one place that knows how bytes and tensors correspond.

Images live as uint8 in memory; models see floats: x = 2 * pixels / 255 - 1, so 0 is -1 and 255 is +1.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from genlib.errors import InputError
from genlib.files import atomic_path

MAX_IN_MEMORY_BYTES = 2 * 2**30  # bytes of images, beyond which nobody holds them
CHUNK = 1024  # images that are copied at a time


@dataclass(frozen=True)
class Images:
    """N images: `pixels` uint8 [N, C, H, W]; `labels` int64 [N], or None for a set without labels.

    Toy sets that were made in memory may hold floats in [-1, 1] instead: a point of the plane is [2, 1, 1].
    """

    pixels: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor | slice) -> Images:
        return Images(self.pixels[index], None if self.labels is None else self.labels[index])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def __add__(self, more: Images) -> Images:
        """Both sets, one after the other; without labels unless both have them."""
        return Images.concat([self, more])

    @classmethod
    def concat(cls, parts: Sequence[Images]) -> Images:
        """All parts, one after the other; without labels unless all have them."""
        if len(parts) == 1:
            return parts[0]
        labels = [part.labels for part in parts if part.labels is not None]
        known = len(labels) == len(parts)
        return cls(torch.cat([part.pixels for part in parts]), torch.cat(labels) if known else None)

    def to(self, device: torch.device | str) -> Images:
        return Images(self.pixels.to(device), None if self.labels is None else self.labels.to(device))


def to_float(pixels: Tensor) -> Tensor:
    """uint8 [0, 255] -> float32 [-1, 1]; what is of floats already (points of a toy set) stays as it is."""
    return pixels if pixels.is_floating_point() else pixels.float().mul_(2 / 255).sub_(1)


def to_pixels(x: Tensor) -> Tensor:
    """Float [-1, 1] -> uint8 [0, 255], rounded to nearest and clipped; the inverse of `to_float` on its range."""
    return x.float().add(1).mul_(255 / 2).round_().clamp_(0, 255).to(torch.uint8)


def dequantize(x: Tensor, u: Tensor) -> Tensor:
    """Grey level p, as floats in [-1, 1] -> 2 (p + u) / 256 - 1, u uniform in [0, 1): greys are spread over their bin,
    so that a density is a likelihood.

    Theis, van den Oord and Bethge 2016, "A note on the evaluation of generative models".
    """
    return (255 * (x + 1) / 2 + u) / 128 - 1


def allocate_pixels(count: int, shape: Sequence[int]) -> Tensor:
    """Space for `count` images, uint8 [count, *shape]; what is LARGE lies in a file without a name, which the system
    keeps in memory as far as there is any, and which is gone with the tensor.

    Raises:
        OSError: the folder for temporary files (`TMPDIR`) has no room for it.
    """
    size = count * math.prod(shape)
    if size <= MAX_IN_MEMORY_BYTES:
        return torch.empty(count, *shape, dtype=torch.uint8)
    with tempfile.NamedTemporaryFile(prefix="genlib-") as file:
        if hasattr(os, "posix_fallocate"):  # without it a full disk is only seen on writing, as a signal
            os.posix_fallocate(file.fileno(), 0, size)
        return torch.from_file(file.name, shared=True, size=size, dtype=torch.uint8).view(count, *shape)


def save_images(images: Images, path: Path, indices: Tensor | None = None) -> None:
    """Write the images, or those at the indices `rows` [n], as a safetensors file: `pixels` and, where there are any,
    `labels`; whole or not at all, and never more than CHUNK of them in memory."""
    chosen = torch.arange(len(images)) if indices is None else indices
    labels = b"" if images.labels is None else images.labels[chosen].numpy().astype("<i8").tobytes()
    sizes = {"labels": ("I64", [len(chosen)], len(labels))} if images.labels is not None else {}
    sizes["pixels"] = ("U8", [len(chosen), *images.shape], len(chosen) * math.prod(images.shape))
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(_safetensors_header(sizes) + labels)
        for some in torch.split(chosen, CHUNK):
            file.write(images.pixels[some].contiguous().numpy().data)


def _safetensors_header(sizes: dict[str, tuple[str, list[int], int]]) -> bytes:
    """The head of a safetensors file of tensors with these types, shapes and bytes, in this order: the length of what
    follows in 8 bytes, then JSON, filled up with spaces to a multiple of 8."""
    told, end = {}, 0
    for name, (kind, shape, size) in sizes.items():
        told[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(told, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def load_images(path: Path) -> Images:
    """Read what `save_images` wrote.

    Raises:
        InputError: the file is missing, truncated or holds other than uint8 `pixels` and int64 `labels`.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: not a readable image set ({error}); run the `prepare` stage") from error
    pixels, labels = tensors.get("pixels"), tensors.get("labels")
    if pixels is None or pixels.dtype != torch.uint8 or pixels.ndim != 4:
        raise InputError(f"{path}: found no uint8 `pixels` of shape [N, C, H, W]; run the `prepare` stage")
    if labels is not None and (labels.dtype, labels.shape) != (torch.int64, pixels.shape[:1]):
        raise InputError(f"{path}: found `labels` that are not int64 of shape [N]; run the `prepare` stage")
    return Images(pixels, labels)
