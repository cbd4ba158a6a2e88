"""Images as PNG files."""

from __future__ import annotations

import io
import math
from pathlib import Path

import torch
from torch import Tensor

from genlib.files import write_bytes


def make_grid(pixels: Tensor, columns: int | None = None) -> Tensor:
    """[N, C, H, W] -> one picture [C, rows (H + 1) + 1, columns (W + 1) + 1], a grey line between images."""
    n, channels, height, width = pixels.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    picture = torch.full((channels, rows * (height + 1) + 1, columns * (width + 1) + 1), 128, dtype=torch.uint8)
    for index, image in enumerate(pixels):
        top, left = (index // columns) * (height + 1) + 1, (index % columns) * (width + 1) + 1
        picture[:, top : top + height, left : left + width] = image
    return picture


def write_png(picture: Tensor, path: Path, scale: int = 1) -> None:
    """Write uint8 [C, H, W] (one channel grey, three RGB), each pixel `scale` wide, whole or not at all."""
    write_bytes(encode_png(picture, scale), path)


def encode_png(picture: Tensor, scale: int = 1) -> bytes:
    """What `write_png` writes."""
    from PIL import Image

    array = picture.permute(1, 2, 0).repeat_interleave(scale, 0).repeat_interleave(scale, 1).numpy()
    file = io.BytesIO()
    Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array).save(file, format="png")
    return file.getvalue()


def write_grid(pixels: Tensor, path: Path, columns: int | None = None) -> None:
    """Write N images as one grid, enlarged so that small ones can be seen."""
    write_png(make_grid(pixels, columns), path, scale=max(1, 64 // pixels.shape[-1]))
