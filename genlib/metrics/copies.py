"""Near-copies: images nearer to a training image than real ones are, after small shifts and rotations."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor

from genlib.data.pixels import select_rows
from genlib.metrics.base import FeatureSet, MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.intervals import Z, wilson
from genlib.metrics.stats.pixel_matching import aligned_distance

QUANTILE = 0.01  # of the real images of a class are nearer than the radius
MAX_HELD_OUT = 2000  # test images that set the radii, at most
NUM_CLOSEST = 20


@dataclass(frozen=True)
class CopyRadii:
    """Of each class c, float64 [K]: `radius` r_c, the distance of the j_c-th nearest of m_c held-out images, j_c =
    max(1, floor(0.01 (m_c + 1))); `chance` e_c = j_c / (m_c + 1) that a further one is nearer, for any distribution,
    and its `variance`, that of Beta(j_c, m_c + 1 - j_c). All are 0 where m_c is."""

    radius: Tensor
    chance: Tensor
    variance: Tensor

    @classmethod
    def from_held_out(cls, distance: Tensor, cluster: Tensor, num_clusters: int) -> Self:
        radius, chance = torch.zeros(2, num_clusters, dtype=torch.float64)
        sizes = cluster.bincount(minlength=num_clusters)
        for c in sizes.nonzero()[:, 0].tolist():
            m = int(sizes[c])
            j = max(1, int(QUANTILE * (m + 1)))
            radius[c], chance[c] = distance[cluster == c].kthvalue(j).values, j / (m + 1)
        return cls(radius, chance, chance * (1 - chance) / (sizes + 2))


@metric(
    question=("Original?", 1),
    better="lower",
    must_detect={"copies": "higher"},
    verdict=("memorization", lambda value, baseline: value - baseline),
)
def copies(inputs: MetricInputs) -> MetricResult:
    """Share of generated images strictly nearer to a training image than 99 % of the real images of their class are,
    less the share of real ones that are. Nearness: pixels, after the best of a few shifts and rotations.

    The expected share is the mean e_c. Its normal interval and Wilson's are combined (Newcombe 1998).
    """
    if not len(inputs.train):
        raise UndefinedMetric("needs training images, found none")
    cluster_of, n = inputs.classes_or_clusters(), inputs.n
    cluster, held_out = cluster_of(inputs.generated), cluster_of(inputs.test[:MAX_HELD_OUT])
    num_clusters = 1 + int(torch.cat([cluster, held_out]).max())
    radii = CopyRadii.from_held_out(inputs.test[:MAX_HELD_OUT].per_image(_dist, inputs.train), held_out, num_clusters)
    distance, nearest_index = (inputs.generated.per_image(part, inputs.train) for part in (_dist, _ind))
    count = int((distance < radii.radius[cluster]).sum())
    share, expected = count / n, float(radii.chance[cluster].mean())
    deviation = float((cluster.bincount(minlength=num_clusters).double() / n).square() @ radii.variance) ** 0.5
    low, high = wilson(count, n)
    closest = (distance / radii.radius[cluster].clamp(min=1e-12)).argsort(stable=True)[: min(NUM_CLOSEST, count)]
    detail = {
        "count": count,
        "expected": n * expected,
        "threshold": {c: radii.radius[c] for c in sorted(set(cluster.tolist()))},
        "held_out": len(held_out),
        "nearest": torch.stack([closest, nearest_index[closest]], 1),
    }
    half = Z * deviation
    value, below, above = share - expected, math.hypot(share - low, half), math.hypot(high - share, half)
    return MetricResult(value, value - below, value + above, n=n, detail=detail)


def _dist(images: FeatureSet, train: FeatureSet) -> Tensor:
    return aligned_distance(images.pixels, train.pixels)[0]


def _ind(images: FeatureSet, train: FeatureSet) -> Tensor:
    return aligned_distance(images.pixels, train.pixels)[1]


@lru_cache(maxsize=1)
def _held_out_distances(train: FeatureSet, test: FeatureSet) -> Tensor:
    """They set the radii: the same for the model, for real images and for every control."""
    return aligned_distance(select_rows(test.pixels, slice(MAX_HELD_OUT)), train.pixels)[0]
