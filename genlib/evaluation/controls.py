"""Images whose faults are known, judged beside every model: a metric that does not see them is not to be believed.

Five samplers are planted in the place of the generated images, at most SIZE images of each: `real` held-out images,
`copies` of training images, `stored`, a few held-out images drawn again and again with jitter, `collapse`, one image
per class, or ten where there are no labels, and `noise`. A metric says what each of those it must see has to do to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from genlib.data.batches import seeded
from genlib.data.images import Images

if TYPE_CHECKING:
    from genlib.metrics.inputs import Evidence, View
    from genlib.metrics.result import Measure

SIZE = 1000
JITTER = 2.0  # grey levels, the standard deviation of what tells two draws of one stored image apart
UNLABELLED = 10  # images in `collapse` where there are no classes
SLACK = 1.25  # factor by which a count may miss the number that was planted, beside its interval
Control = Literal["copies", "stored", "collapse", "noise"]
Must = Literal["lower", "higher", "count"]  # than real images, intervals apart; or return the number of stored images
WORDS: dict[Control, str] = {
    "copies": "copies of training images",
    "stored": "stored images with jitter",
    "collapse": "one image per class",
    "noise": "noise",
}


def plant(evidence: Evidence, look: Callable[[Images], View]) -> Evidence:
    """`evidence` with its planted images, as `look` and the second judge's see them; none where nothing was made."""
    n = min(SIZE, evidence.n, len(evidence.valid))
    return replace(evidence, planted={name: look(images) for name, images in _faulty(evidence, n).items()} if n else {})


def _faulty(evidence: Evidence, n: int) -> dict[str, Images]:
    train, valid, seed = evidence.train, evidence.valid, evidence.seed
    real = valid[:n].images
    drawn = torch.randint(stored(n), (n,), generator=seeded(seed, "stored"))
    again = _jittered(real[drawn], seed)
    first = _firsts(valid)
    collapse = valid[first[torch.randint(len(first), (n,), generator=seeded(seed, "collapse"))]].images
    noise = torch.randint(256, real.pixels.shape, generator=seeded(seed, "noise"), dtype=torch.uint8)
    faulty = {"real": real, "stored": again, "collapse": collapse, "noise": Images(noise, real.labels)}
    if train.given:
        faulty["copies"] = train[torch.randint(len(train), (n,), generator=seeded(seed, "copies"))].images
    return faulty


def stored(n: int) -> int:
    """How many different images stand behind n stored ones."""
    return min(n, max(2, n // 10))


def _jittered(images: Images, seed: int) -> Images:
    shake = JITTER * torch.randn(images.pixels.shape, generator=seeded(seed, "jitter"))
    return Images((images.pixels + shake).round().clamp(0, 255).to(torch.uint8), images.labels)


def _firsts(view: View) -> Tensor:
    """The row of the first image of each class in `view`; without labels, the first rows, whoever judges."""
    if view.labels is None:
        return torch.arange(min(UNLABELLED, len(view)))
    classes = view.labels.tolist()
    return torch.tensor([classes.index(c) for c in sorted(set(classes))])


def tried(metric: Callable[[Evidence], Measure], evidence: Evidence, catches: Mapping[Control, Must]) -> dict[str, Any]:
    """What `metric` made of each control it must catch: value, interval, and `failed`, why it did not, or None."""
    if not evidence.planted or not catches:
        return {}
    real = metric(evidence.control("real"))
    found: dict[str, Any] = {}
    for name, must in catches.items():
        if name not in evidence.planted:
            continue
        got = metric(evidence.control(name))
        facts = {"value": got.value, "low": got.low, "high": got.high, "n": got.n, "must": must, "real": real.value}
        found[name] = {**facts, "failed": _failed(name, must, got, real)}
    return found


def _failed(name: Control, must: Must, got: Measure, real: Measure) -> str | None:
    """None where the fault was seen, or where this metric has no value at this number of images."""
    if got.value is None or real.value is None:
        return None
    if must == "count":
        low, high = (got.value if end is None else end for end in (got.low, got.high))
        expected = 1 / (1 / stored(got.n) + 1 / real.value)
        seen = low / SLACK <= expected <= high * SLACK
        return None if seen else f"of {stored(got.n)} {WORDS[name]} it counts {got.value:.3g}"
    apart = _below(got, real) if must == "lower" else _below(real, got)
    return None if apart else f"{WORDS[name]} get {got.value:.3g} and real images {real.value:.3g} at n = {got.n}"


def _below(one: Measure, other: Measure) -> bool:
    """Whether all of the interval of `one` lies below that of `other`."""
    high = one.value if one.high is None else one.high
    low = other.value if other.low is None else other.low
    return high is not None and low is not None and high < low
