"""Different images: one that is there several times is evidence once, for copy tests that count images."""

import torch
from torch import Tensor

from genlib.metrics.result import UndefinedMetric

SAME = 0.1  # of the distance to the training images: nearer to each other, two images count as the same
ROUNDING = 1e-6  # of an image's length: the same image among others may get features that differ by so much
MIN_DISTINCT = 20
CHUNK_ELEMENTS = 1 << 21  # distances held at once


def distinct_rows(x: Tensor, to_train: Tensor) -> Tensor:
    """Rows, ascending, of the points x, [n, d], that repeat no earlier one. x_i repeats x_j, j < i, where
    ||x_i - x_j|| <= 0.1 t_i; `to_train` [n] holds t_i, its distance to the nearest training image. Where no image is
    repeated these are all rows. Raises UndefinedMetric where fewer than 20 are left."""
    x, repeats = x.double(), torch.zeros(len(x), dtype=torch.bool)
    radius = SAME * to_train + ROUNDING * x.norm(dim=1)
    num_rows = max(1, CHUNK_ELEMENTS // max(1, len(x)))
    for start in range(0, len(x), num_rows):
        part, stop = slice(start, start + num_rows), min(len(x), start + num_rows)
        near = torch.cdist(x[part], x[:stop]) <= radius[part, None]
        repeats[part] = near.tril(start - 1).any(1)
    rows = (~repeats).nonzero()[:, 0]
    if len(rows) < MIN_DISTINCT:
        raise UndefinedMetric(f"needs at least {MIN_DISTINCT} different images, found {len(rows)} among {len(x)}")
    return rows
