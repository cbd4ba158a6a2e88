"""Is it a copy, even if it was moved a little? Images that come nearer to a training image than real ones do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.clustering import classes_or_clusters
from genlib.metrics.stats.intervals import Z, wilson
from genlib.metrics.stats.pixel_matching import aligned_distance

QUANTILE = 0.01  # of the real images of a kind are nearer than the radius
MAX_HELD_OUT = 2000  # test images that set the radii, at most
NUM_CLOSEST = 20


@dataclass(frozen=True)
class CopyRadii:
    """Of each kind c, float64 [K]: `radius` r_c, the distance of the j_c-th nearest of m_c held-out images, j_c =
    max(1, floor(0.01 (m_c + 1))); `chance` e_c = j_c / (m_c + 1) that a further one is nearer, whatever their law, and
    its `variance` over draws of the m_c, that of Beta(j_c, m_c + 1 - j_c). All are 0 where m_c is."""

    radius: Tensor
    chance: Tensor
    variance: Tensor

    @classmethod
    def from_held_out(cls, distance: Tensor, cluster: Tensor, num_clusters: int) -> CopyRadii:
        """From the distances of held-out images and their kinds, of `count`."""
        radius, chance = torch.zeros(num_clusters, dtype=torch.float64), torch.zeros(num_clusters, dtype=torch.float64)
        held = cluster.bincount(minlength=num_clusters)
        for c in held.nonzero()[:, 0].tolist():
            m = int(held[c])
            j = max(1, int(QUANTILE * (m + 1)))
            radius[c], chance[c] = distance[cluster == c].kthvalue(j).values, j / (m + 1)
        return cls(radius, chance, chance * (1 - chance) / (held + 2))


@metric(min_images=20, better="lower", must_detect={"copies": "higher"})
def copies(inputs: MetricInputs) -> MetricResult:
    """Share of generated images strictly nearer to a training image than r_c, less the share e of real ones that are.

    Nearness is `registered`: pixels, after the best of a few shifts and rotations. The kind c is the judge's class, or
    a k-means cell where it has none; `Radii` gives r_c, and e is the mean of the e_c of the generated images. So 0 is
    expected of real images and 1 - e of copies. Interval: Wilson's of the share and the normal one of e, combined as by
    Newcombe (1998). Strong blur and blends hide a copy.
    """
    if not len(inputs.train):
        raise UndefinedMetric("needs training images, found none")
    kind_of, n = classes_or_clusters(inputs), inputs.n
    kind, held = kind_of(inputs.generated), kind_of(inputs.test[:MAX_HELD_OUT])
    radii = CopyRadii.from_held_out(
        _held_out_distances(inputs.train, inputs.test), held, 1 + int(torch.cat([kind, held]).max())
    )
    distance, star = aligned_distance(inputs.generated.pixels, inputs.train.pixels)
    count = int((distance < radii.radius[kind]).sum())
    share, expected = count / n, float(radii.chance[kind].mean())
    deviation = float((kind.bincount(minlength=len(radii.radius)).double() / n).square() @ radii.variance) ** 0.5
    low, high = wilson(count, n)
    closest = (distance / radii.radius[kind].clamp(min=1e-12)).argsort(stable=True)[: min(NUM_CLOSEST, count)]
    detail = {
        "count": count,
        "expected": n * expected,
        "threshold": {c: radii.radius[c] for c in sorted(set(kind.tolist()))},
        "held_out": len(held),
        "nearest": torch.stack([closest, star[closest]], 1),
    }
    value = share - expected
    return MetricResult(
        value,
        value - math.hypot(share - low, Z * deviation),
        value + math.hypot(high - share, Z * deviation),
        n=n,
        detail=detail,
    )


@lru_cache(maxsize=1)
def _held_out_distances(train: FeatureSet, test: FeatureSet) -> Tensor:
    """The distances that set the radii: the same for the fakes, for real images and for every control."""
    return aligned_distance(test.pixels[:MAX_HELD_OUT], train.pixels)[0]
