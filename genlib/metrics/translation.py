"""Does a translation keep what it must, and does the way back lead home? For one way of a translator at a time.

The images translated are test images of the source domain. That they look like the target domain is for the metrics of
any generated images to say, which are given each way too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol, cast

from torch import Tensor

from genlib.data.images import Images, to_float, to_pixels
from genlib.metrics.classification import accuracy_of
from genlib.metrics.inputs import Evidence
from genlib.metrics.registry import metric
from genlib.metrics.result import Measure, Undefined
from genlib.metrics.stats.intervals import of_mean

Domain = Literal["a", "b"]
FEW = 6  # images below which a t-interval is not to be had


class Translates(Protocol):
    def translate(self, x: Tensor, to: Domain) -> Tensor: ...


@dataclass(frozen=True)
class Direction:
    """One way of a translator, and the images that are sent that way, on its device."""

    translator: Translates
    to: Domain
    source: Images

    def translate(self) -> Tensor:
        """The translations, in [-1, 1]."""
        return self.translator.translate(to_float(self.source.pixels), self.to)

    def back(self) -> Tensor:
        """The translations of the translations into the domain they came from."""
        return self.translator.translate(self.translate(), "a" if self.to == "b" else "b")

    def made(self) -> Images:
        """The translations as pixels, with the labels of their sources."""
        return Images(to_pixels(self.translate()), self.source.labels)


@metric(needs="translates")
def label_preservation(evidence: Evidence) -> Measure:
    """Share of translations to which the judge gives the label of their source. Interval: Wilson.

    The judge has learnt from both domains. Its null is the judge's accuracy on as many real images of the target, which
    a translation can only exceed by being plainer than those. A translator that changes nothing scores what the judge
    gets on the source, so read it beside a distance to the target, as `frechet`.
    """
    if evidence.made.labels is None or evidence.valid.labels is None:
        raise Undefined("the two domains share no labels")
    kept, real = accuracy_of(evidence.made), accuracy_of(evidence.null().made)
    return replace(kept, null=real.value, detail={**kept.detail, "null": {"low": real.low, "high": real.high}})


@metric(needs="translates", better="lower")
def cycle_error(evidence: Evidence) -> Measure:
    """Mean absolute difference, on the scale of intensities 0 to 1, between an image and its translation there and
    back; lower is better. Interval: t over the images.

    0 for a translator that changes nothing, and for one that hides the source in invisible detail (Chu, Zhmoginov and
    Sandler 2017, "CycleGAN, a master of steganography").
    """
    direction = cast(Direction, evidence.model)
    apart = (direction.back() - to_float(direction.source.pixels)).abs().flatten(1).mean(1) / 2
    if len(apart) < FEW:
        raise Undefined(f"needs at least {FEW} images, found {len(apart)}")
    low, high = of_mean(apart.tolist())
    return Measure(float(apart.mean()), low, high, n=len(apart))
