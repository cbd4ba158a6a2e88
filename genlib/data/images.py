"""A labelled set of small images, and the one place that knows how bytes and tensors correspond.

Images live as uint8 in memory; models see floats: x = 2 * pixels / 255 - 1, so 0 is -1 and 255 is +1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from genlib.errors import InputError


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
        return Images.joined([self, more])

    @classmethod
    def joined(cls, parts: Sequence[Images]) -> Images:
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


def dequantised(x: Tensor, u: Tensor) -> Tensor:
    """Grey level p, as floats in [-1, 1] -> 2 (p + u) / 256 - 1, u uniform in [0, 1): greys are spread over their bin,
    so that a density is a likelihood.

    Theis, van den Oord and Bethge 2016, "A note on the evaluation of generative models".
    """
    return (255 * (x + 1) / 2 + u) / 128 - 1


def save_images(images: Images, path: Path) -> None:
    """Write `pixels` and, where there are any, `labels` to a safetensors file, whole or not at all."""
    tensors = {"pixels": images.pixels.contiguous()}
    if images.labels is not None:
        tensors["labels"] = images.labels.contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    partial.replace(path)


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
