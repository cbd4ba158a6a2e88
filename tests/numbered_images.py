"""Images that carry their number in their pixels."""

from __future__ import annotations

import torch

from genlib.data.images import Images


def made(count: int, *, first: int = 0, labelled: bool = True) -> Images:
    """`count` images that differ: the number of each is written in its pixels, its class is the number modulo 3."""
    numbers = torch.arange(first, first + count)
    pixels = torch.stack([numbers % 256, numbers // 256, numbers * 7 % 256, numbers * 0], 1).to(torch.uint8)
    return Images(pixels.view(count, 1, 2, 2), numbers % 3 if labelled else None)


def numbers(images: Images) -> list[int]:
    flat = images.pixels.flatten(1).long()
    return (flat[:, 0] + 256 * flat[:, 1]).tolist()
