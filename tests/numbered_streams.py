"""Numbered images, in memory and streamed."""

import torch

from genlib.data.images import Images
from genlib.data.streaming import StreamedImages


def numbered(n):
    return Images(torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1), torch.arange(n))


def streamed(n):
    """The same set, streamed."""
    images = numbered(n)
    return StreamedImages(n, lambda blocks: (images[block.shuffled_rows()] for block in blocks), block_size=3)


def united(n):
    """The same set in two, of which one is in memory."""
    whole = numbered(n)
    return StreamedImages.from_images(whole[: n // 3]) + StreamedImages(
        n - n // 3, lambda blocks: (whole[n // 3 :][block.shuffled_rows()] for block in blocks), block_size=3
    )
