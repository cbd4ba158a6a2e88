"""Near-copies: images far nearer to one training image than to others, as real ones never are.

The distance to the nearest training image, after small moves, is divided by the local scale: the distance to the 8th
nearest. A smooth image is near to all training images; both distances shrink alike where an image is blurred, so one
radius serves sharp and blurred images, and classes that are close together and far apart.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.data.pixels import Pixels, iter_pieces, store_pixels
from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.distinct import distinct_rows
from genlib.metrics.stats.intervals import Z, wilson
from genlib.metrics.stats.pixel_matching import aligned_distance, coarse_images

QUANTILE = 0.01  # of real images are nearer than the radius
MAX_HELD_OUT = 2000  # test images that set the radius, at most
NUM_CLOSEST = 20
MAX_SIDE = 64  # pixels: larger images are compared at this size


@dataclass(frozen=True)
class AlignedNearest:
    """Of each image x: its nearest training image's `index`, the `distance` to it in pixels after small moves, and the
    local `scale` (see `aligned_distance`)."""

    distance: Tensor
    index: Tensor
    scale: Tensor

    @property
    def ratio(self) -> Tensor:
        """distance / scale, from 0, a copy, to 1."""
        return self.distance / self.scale.clamp(min=1e-12)


def nearest_aligned(pixels: Pixels, train: Pixels) -> AlignedNearest:
    """Of each of `pixels` for itself, among the training images. Those of more than MAX_SIDE pixels a side are averaged
    down: what differs below that is no other image."""
    return AlignedNearest(*aligned_distance(_average_down(pixels), _average_down(train)))


@lru_cache(maxsize=2)  # the training images are asked for again and again
def _average_down(pixels: Pixels) -> Pixels:
    n, channels, *sides = pixels.shape
    if max(sides) <= MAX_SIDE:
        return pixels
    height, width = (max(1, round(side * MAX_SIDE / max(sides))) for side in sides)
    small = (F.adaptive_avg_pool2d(piece.float(), (height, width)).round() for piece in iter_pieces(pixels))
    return store_pixels((piece.to(torch.uint8) for piece in small), (n, channels, height, width))


@dataclass(frozen=True)
class CopyRadius:
    """`radius` r: the j-th smallest ratio of m held-out images, j = max(1, floor(0.01 (m + 1))); the `chance`
    e = j / (m + 1) that a further one is below it, for any distribution, and its `variance`, that of
    Beta(j, m + 1 - j)."""

    radius: float
    chance: float
    variance: float

    @classmethod
    def from_held_out(cls, ratio: Tensor) -> Self:
        m = len(ratio)
        j = max(1, int(QUANTILE * (m + 1)))
        chance = j / (m + 1)
        return cls(float(ratio.kthvalue(j).values), chance, chance * (1 - chance) / (m + 2))

    def excess_share(self, ratio: Tensor) -> float:
        """The share of images below the radius, less that of real ones."""
        return float((ratio < self.radius).double().mean()) - self.chance


def generated_aligned(inputs: MetricInputs) -> tuple[AlignedNearest, Tensor]:
    """Of the generated images, and the rows of the different ones."""
    if len(inputs.train) < 2:
        raise UndefinedMetric(f"needs at least 2 training images, found {len(inputs.train)}")
    distance, index, scale = inputs.generated.per_image(_columns, inputs.train).unbind(1)
    coarse = inputs.generated.per_image(_coarse_images)
    # Vectors of length 1, whose squared distance is 2 (1 - corr).
    return AlignedNearest(distance, index.long(), scale), distinct_rows(coarse, (2 * distance).sqrt())


def _columns(images: FeatureSet, train: FeatureSet) -> Tensor:
    found = nearest_aligned(images.pixels, train.pixels)
    return torch.stack([found.distance, found.index.double(), found.scale], 1)


def _coarse_images(images: FeatureSet) -> Tensor:
    return coarse_images(images.pixels)


def held_out_radius(inputs: MetricInputs) -> CopyRadius:
    distance, index, scale = _held_out_columns(inputs.test, inputs.train).unbind(1)
    return CopyRadius.from_held_out(AlignedNearest(distance, index, scale).ratio)


@lru_cache(maxsize=1)
def _held_out_columns(test: FeatureSet, train: FeatureSet) -> Tensor:
    """The same for the model, for real images and for every control."""
    return test[:MAX_HELD_OUT].per_image(_columns, train)


def excess_copies(inputs: MetricInputs) -> float:
    found, rows = generated_aligned(inputs)
    return held_out_radius(inputs).excess_share(found.ratio[rows])


@metric(
    question=("Original?", 1),
    better="lower",
    must_detect={"copies": "higher", "collapse": "not higher", "blurred": "not higher"},
    in_verdict=True,
    fault_share=lambda value, baseline: value - baseline,
    statistic=excess_copies,
)
def copies(inputs: MetricInputs) -> MetricResult:
    """Share of generated images with a smaller ratio d(x, y_1) / d(x, y_8) than 99 % of real ones have, less the share
    of real ones. y_k: the k-th nearest training image in pixels, after the best of a few moves, mirroring and zooming.

    Of different images: one that is there k times has the weight 1 / k (see `distinct_rows`). The expected share is
    `CopyRadius.chance`. Its normal interval and Wilson's are combined (Newcombe 1998).
    """
    (found, rows), radius = generated_aligned(inputs), held_out_radius(inputs)
    ratio, m = found.ratio[rows], len(rows)
    count = int((ratio < radius.radius).sum())
    low, high = wilson(count, m)
    closest = rows[ratio.argsort(stable=True)[: min(NUM_CLOSEST, count)]]
    detail = {
        "count": count,
        "distinct": m,
        "expected": m * radius.chance,
        "threshold": radius.radius,
        "held_out": min(MAX_HELD_OUT, len(inputs.test)),
        "nearest": torch.stack([closest, found.index[closest]], 1),
    }
    share, half = count / m, Z * radius.variance**0.5
    value, below, above = radius.excess_share(ratio), math.hypot(share - low, half), math.hypot(high - share, half)
    return MetricResult(value, value - below, value + above, n=inputs.n, detail=detail)
