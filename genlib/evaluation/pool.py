"""Pools of images from which many sets are drawn: what is measured of an image is measured once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from genlib.data.pixels import Pixels
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
        part = torch.bucketize(rows, torch.tensor(self.starts[1:]), right=True)
        found: Tensor | None = None
        for index in sorted(set(part.tolist())):
            measured = self._measure_set(function, others, index)
            found = measured.new_empty(len(rows), *measured.shape[1:]) if found is None else found
            found[part == index] = measured[rows[part == index] - self.starts[index]]
        return function(self.sets[0], *others)[:0] if found is None else found

    def _measure_set(self, function: Callable[..., Tensor], others: Sequence[Any], index: int) -> Tensor:
        key = (function, index, *map(id, others))
        if key not in self._measured:
            self._measured[key] = (
                self.sets[index].per_image(function, *others),
                others,
            )  # held, so that no id is used again
        return self._measured[key][0]

    def pixels(self, rows: Tensor) -> Tensor:
        return self.measure(_read_pixels, (), rows)


def _read_pixels(images: FeatureSet) -> Tensor:
    return images.pixels[:]


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
