"""Is it a copy, even if it was moved a little? Images that come nearer to a training image than real ones do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from genlib.metrics.inputs import Evidence, View
from genlib.metrics.registry import metric
from genlib.metrics.result import Measure, Undefined
from genlib.metrics.stats.clustering import kinds
from genlib.metrics.stats.intervals import Z, wilson
from genlib.metrics.stats.pixel_matching import registered

SHARE = 0.01  # of the real images of a kind are nearer than the radius
HELD = 2000  # test images that set the radii, at most
SHOWN = 20


@dataclass(frozen=True)
class Radii:
    """Of each kind c, float64 [K]: `radius` r_c, the distance of the j_c-th nearest of m_c held-out images, j_c =
    max(1, floor(0.01 (m_c + 1))); `chance` e_c = j_c / (m_c + 1) that a further one is nearer, whatever their law, and
    its `variance` over draws of the m_c, that of Beta(j_c, m_c + 1 - j_c). All are 0 where m_c is."""

    radius: Tensor
    chance: Tensor
    variance: Tensor

    @classmethod
    def of(cls, distance: Tensor, kind: Tensor, count: int) -> Radii:
        """From the distances of held-out images and their kinds, of `count`."""
        radius, chance = torch.zeros(count, dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
        held = kind.bincount(minlength=count)
        for c in held.nonzero()[:, 0].tolist():
            m = int(held[c])
            j = max(1, int(SHARE * (m + 1)))
            radius[c], chance[c] = distance[kind == c].kthvalue(j).values, j / (m + 1)
        return cls(radius, chance, chance * (1 - chance) / (held + 2))


@metric(minimum=20, better="lower", catches={"copies": "higher"})
def copies(evidence: Evidence) -> Measure:
    """Share of generated images strictly nearer to a training image than r_c, less the share e of real ones that are.

    Nearness is `registered`: pixels, after the best of a few shifts and rotations. The kind c is the judge's class, or
    a k-means cell where it has none; `Radii` gives r_c, and e is the mean of the e_c of the generated images. So 0 is
    expected of real images and 1 - e of copies. Interval: Wilson's of the share and the normal one of e, combined as by
    Newcombe (1998). Strong blur and blends hide a copy.
    """
    if not len(evidence.train):
        raise Undefined("needs training images, found none")
    kind_of, n = kinds(evidence), evidence.n
    kind, held = kind_of(evidence.made), kind_of(evidence.test[:HELD])
    radii = Radii.of(_held_out(evidence.train, evidence.test), held, 1 + int(torch.cat([kind, held]).max()))
    distance, star = registered(evidence.made.pixels, evidence.train.pixels)
    count = int((distance < radii.radius[kind]).sum())
    share, expected = count / n, float(radii.chance[kind].mean())
    deviation = float((kind.bincount(minlength=len(radii.radius)).double() / n).square() @ radii.variance) ** 0.5
    low, high = wilson(count, n)
    closest = (distance / radii.radius[kind].clamp(min=1e-12)).argsort(stable=True)[: min(SHOWN, count)]
    detail = {
        "count": count,
        "expected": n * expected,
        "threshold": {c: radii.radius[c] for c in sorted(set(kind.tolist()))},
        "held_out": len(held),
        "nearest": torch.stack([closest, star[closest]], 1),
    }
    value = share - expected
    return Measure(
        value,
        value - math.hypot(share - low, Z * deviation),
        value + math.hypot(high - share, Z * deviation),
        n=n,
        detail=detail,
    )


@lru_cache(maxsize=1)
def _held_out(train: View, test: View) -> Tensor:
    """The distances that set the radii: the same for the fakes, for real images and for every control."""
    return registered(test.pixels[:HELD], train.pixels)[0]
