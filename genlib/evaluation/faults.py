"""Planted faults: draws of real images in which a share of the generated side has a known fault.

They tell what an evaluation of so many images would have found. Shares grow within a draw: the images at fault at one
share are at fault at all larger ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from genlib.data.images import StoredImages
from genlib.data.pixels import iter_pieces, store_pixels
from genlib.data.random import seeded_generator
from genlib.evaluation.baselines import Baseline, BaselineSampler, Draw
from genlib.evaluation.controls import blur_pixels
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import DIVERSE, ORIGINAL, REALISTIC, Question, get_metric
from genlib.metrics.stats.significance import p_value

SHARES = (0.01, 0.02, 0.035, 0.06, 0.1, 0.17, 0.3, 0.5, 0.8)
MAX_REPLICATES, MIN_REPLICATES = 20, 8
MAX_PAIRS = 2e7  # of images over the replicates of one share: at n = 1,000 there are 20
FIRST_INDEX = 100_000  # of their draws, which are others than those of the baseline
MAX_FAULTY = 2000  # images of each kind that are made
SALT_SHARE = 0.02  # of the pixels of an image
SURE = 1e-4  # p-value from which on larger shares are not tried

FAULTS: dict[str, Question] = {
    "noise": REALISTIC,
    "blur": REALISTIC,
    "salt": REALISTIC,
    "copies": ORIGINAL,
    "one image repeated": DIVERSE,
    "a class missing": DIVERSE,
}


def noise_pixels(pixels: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randint(256, pixels.shape, generator=generator, dtype=torch.uint8)


def salt_pixels(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Each pixel, in all channels, gives way to uniform grey levels with chance SALT_SHARE."""
    n, _, height, width = pixels.shape
    is_hit = torch.rand(n, 1, height, width, generator=generator) < SALT_SHARE
    return torch.where(is_hit, noise_pixels(pixels, generator), pixels)


def make_faulty(inputs: MetricInputs, extract: Callable[[StoredImages], FeatureSet]) -> dict[str, FeatureSet]:
    """Versions at fault of the first held-out images, in their order, and training images."""
    generator = seeded_generator(inputs.seed, "faults")
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "noise": lambda pixels: noise_pixels(pixels, generator),
        "blur": blur_pixels,
        "salt": lambda pixels: salt_pixels(pixels, generator),
    }
    first = _first_held_out(inputs)
    found = {name: extract(_change_pixels(first, change)) for name, change in changes.items()}
    if inputs.train.is_available:
        chosen = torch.randperm(len(inputs.train), generator=generator)[: min(MAX_FAULTY, inputs.n)]
        found["copies"] = inputs.train[chosen]
    return found


def _first_held_out(inputs: MetricInputs) -> list[FeatureSet]:
    """Of validation images and, where those are few, of test images."""
    return [inputs.valid[:MAX_FAULTY], inputs.test[: max(0, MAX_FAULTY - len(inputs.valid))]]


def _change_pixels(sets: Sequence[FeatureSet], change: Callable[[Tensor], Tensor]) -> StoredImages:
    """`change` of a piece of the pixels at a time: large images stay in a file."""
    labels = [part.labels for part in sets if part.labels is not None]
    shape = (sum(map(len, sets)), *sets[0].pixels.shape[1:])
    pieces = (change(piece) for part in sets if len(part) for piece in iter_pieces(part.pixels))
    return StoredImages(store_pixels(pieces, shape), torch.cat(labels) if len(labels) == len(sets) else None)


@dataclass(frozen=True)
class FaultPlanter:
    """`faulty`: sets of images, which lie in the pool of `sampler` behind the held-out ones, in this order."""

    sampler: BaselineSampler
    faulty: Mapping[str, FeatureSet]

    def can_plant(self, fault: str) -> bool:
        return fault in self.faulty or FAULTS[fault] == DIVERSE

    def plant(self, fault: str, heard: Mapping[str, Baseline]) -> dict[str, Tensor]:
        """The p-values of metrics, float64 [shares, replicates]; NaN where a share has more images than can be made.
        Where all replicates are surely found, their p-values stand for all larger shares too."""
        replicates = max(MIN_REPLICATES, min(MAX_REPLICATES, int(MAX_PAIRS / self.sampler.inputs.n**2)))
        found = torch.full((len(heard), len(SHARES), replicates), torch.nan, dtype=torch.float64)
        for step, share in enumerate(SHARES):
            for replicate in range(replicates):
                found[:, step, replicate] = self._p_values(fault, share, replicate, heard)
            if bool((found[:, step].nan_to_num(1.0).amin(0) < SURE).all()):
                found[:, step:] = found[:, step : step + 1]
                break
        return dict(zip(heard, found, strict=True))

    def _p_values(self, fault: str, share: float, replicate: int, heard: Mapping[str, Baseline]) -> Tensor:
        draw = self.sampler.draw(FIRST_INDEX + replicate)
        generator = seeded_generator(self.sampler.inputs.seed, "planted", fault, str(replicate))
        rows = self._spoil(fault, draw, round(share * self.sampler.inputs.n), generator)
        if rows is None:
            return torch.full((len(heard),), torch.nan, dtype=torch.float64)
        drawn = self.sampler.build(Draw(rows, draw.test, rows, draw.test))
        contrasts = {name: drawn.statistic(get_metric(name))[1] for name in heard}
        found = [p_value(contrasts[name], each.contrasts, get_metric(name).tail) for name, each in heard.items()]
        return torch.tensor(found, dtype=torch.float64)

    def _spoil(self, fault: str, draw: Draw, count: int, generator: torch.Generator) -> Tensor | None:
        """The generated side with `count` images at fault, in an order that the generator draws; None where there are
        too few of them."""
        rows, order = draw.generated.clone(), torch.randperm(len(draw.generated), generator=generator)
        if fault == "a class missing":
            return self._replace_classes(draw, count, generator)
        if fault == "one image repeated":
            rows[order[:count]] = rows[order[0]].item()
            return rows
        start, available = self._place(fault)
        if fault == "copies":
            if count > available:
                return None
            rows[order[:count]] = start + torch.randperm(available, generator=generator)[:count]
            return rows
        order = order[rows[order] < available][:count]
        rows[order] += start
        return rows if len(order) == count else None

    def _place(self, fault: str) -> tuple[int, int]:
        """The first row of a set of images at fault in the pool, and how many there are."""
        names = list(self.faulty)
        return self.sampler.pool.starts[2 + names.index(fault)], len(self.faulty[fault])

    def _replace_classes(self, draw: Draw, count: int, generator: torch.Generator) -> Tensor | None:
        """`count` images of one class, then of the next, give way to other images of the other classes: first to those
        that the draw left, then to some of the test side."""
        rows, classes = draw.generated.clone(), self.sampler.classes
        turn = torch.randperm(int(classes.max()) + 1, generator=generator)[classes]
        gone = turn[rows].argsort(stable=True)[:count]
        is_kept = ~torch.isin(classes, classes[rows[gone]])
        is_kept[rows] = False
        is_test = torch.zeros_like(is_kept).index_fill(0, draw.test, True)
        others = torch.randperm(len(classes), generator=generator)
        others = torch.cat([others[(is_kept & ~is_test)[others]], others[(is_kept & is_test)[others]]])[: len(gone)]
        rows[gone[: len(others)]] = others
        return rows if len(others) == count else None
