"""Pools of images from which many sets are drawn: what is measured of an image is measured once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from genlib.data.pixels import PIECE_BYTES, Pixels, images_within, store_pixels
from genlib.metrics.inputs import FeatureSet


class ImagePool:
    """Sets of images one after the other; `take` gives rows of all of them as a set of its own."""

    def __init__(self, sets: Sequence[FeatureSet]) -> None:
        self.sets = tuple(sets)
        self.starts = [0]
        for each in sets:
            self.starts.append(self.starts[-1] + len(each))
        self.features = torch.cat([each.features for each in sets])
        self.probabilities = torch.cat([each.probabilities for each in sets])
        labels = [each.labels for each in sets]
        self.labels = None if any(each is None for each in labels) else torch.cat([*labels])  # type: ignore[list-item]
        self._measured: dict[tuple[Any, ...], tuple[Tensor, Any]] = {}

    def __len__(self) -> int:
        return self.starts[-1]

    def take(self, rows: Tensor) -> PooledImages:
        return PooledImages(self, rows)

    def measure(self, function: Callable[..., Tensor], others: Sequence[Any], rows: Tensor) -> Tensor:
        """`function` of the images at `rows`; each set that holds some of them is measured as a whole, once."""
        return self._gather(rows, lambda index, own: self._measure_set(function, others, index)[own])

    def pixels(self, rows: Tensor) -> Pixels:
        """Of the images at `rows`, which alone are read, a piece at a time."""
        item = self.sets[0].pixels.shape[1:]
        pieces = torch.split(rows, images_within(PIECE_BYTES, item))
        return store_pixels((self._gather(piece, self._read_pixels) for piece in pieces), (len(rows), *item))

    def _read_pixels(self, index: int, own: Tensor) -> Tensor:
        return self.sets[index].pixels[own]

    def _gather(self, rows: Tensor, of_set: Callable[[int, Tensor], Tensor]) -> Tensor:
        """What `of_set` gives for the number of a set and rows of its own, in the order of `rows`."""
        part = torch.bucketize(rows, torch.tensor(self.starts[1:]), right=True)
        found: Tensor | None = None
        for index in sorted(set(part.tolist())) or [0]:
            is_here = part == index
            values = of_set(index, rows[is_here] - self.starts[index])
            found = values.new_empty(len(rows), *values.shape[1:]) if found is None else found
            found[is_here] = values
        return cast(Tensor, found)

    def _measure_set(self, function: Callable[..., Tensor], others: Sequence[Any], index: int) -> Tensor:
        key = (function, index, *map(id, others))
        if key not in self._measured:
            measured = self.sets[index].per_image(function, *others)
            self._measured[key] = measured, others  # held, so that no id is used again
        return self._measured[key][0]


class PooledImages(FeatureSet):
    """The images of a pool at `rows` int64 [n]."""

    def __init__(self, pool: ImagePool, rows: Tensor) -> None:
        labels = None if pool.labels is None else pool.labels[rows]
        parts = {"features": pool.features[rows], "probabilities": pool.probabilities[rows], "labels": labels}
        vars(self).update(parts, pool=pool, rows=rows)

    def __getitem__(self, index: Tensor | slice) -> PooledImages:
        return PooledImages(vars(self)["pool"], vars(self)["rows"][index])

    def per_image(self, function: Callable[..., Tensor], *others: Any) -> Tensor:
        pool: ImagePool = vars(self)["pool"]
        return pool.measure(function, others, vars(self)["rows"])

    @property
    def pixels(self) -> Pixels:
        pool: ImagePool = vars(self)["pool"]
        return pool.pixels(vars(self)["rows"])
