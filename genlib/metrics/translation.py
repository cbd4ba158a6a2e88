"""Does a translation keep what it must, and does the way back lead home? For one way of a translator at a time.

The images translated are test images of the source domain. That they look like the target domain is for the metrics of
any generated images to say, which are given each way too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol, cast

from torch import Tensor

from genlib.data.images import Images, to_float, to_pixels
from genlib.metrics.classification import compute_accuracy
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.intervals import mean_interval

Domain = Literal["a", "b"]
MIN_IMAGES = 6  # images below which a t-interval is not to be had


class Translator(Protocol):
    def translate(self, x: Tensor, to: Domain) -> Tensor: ...


@dataclass(frozen=True)
class TranslationDirection:
    """One way of a translator, and the images that are sent that way, on its device."""

    translator: Translator
    to: Domain
    source: Images

    def translate(self) -> Tensor:
        """The translations, in [-1, 1]."""
        return self.translator.translate(to_float(self.source.pixels), self.to)

    def translate_back(self) -> Tensor:
        """The translations of the translations into the domain they came from."""
        return self.translator.translate(self.translate(), "a" if self.to == "b" else "b")

    def translated_images(self) -> Images:
        """The translations as pixels, with the labels of their sources."""
        return Images(to_pixels(self.translate()), self.source.labels)


@metric(needs="translates")
def label_preservation(inputs: MetricInputs) -> MetricResult:
    """Share of translations to which the judge gives the label of their source. Interval: Wilson.

    The judge has learnt from both domains. Its null is the judge's accuracy on as many real images of the target, which
    a translation can only exceed by being plainer than those. A translator that changes nothing scores what the judge
    gets on the source, so read it beside a distance to the target, as `frechet`.
    """
    if inputs.generated.labels is None or inputs.valid.labels is None:
        raise UndefinedMetric("the two domains share no labels")
    kept, real = compute_accuracy(inputs.generated), compute_accuracy(inputs.with_real_samples().generated)
    return replace(kept, null=real.value, detail={**kept.detail, "null": {"low": real.low, "high": real.high}})


@metric(needs="translates", better="lower")
def cycle_error(inputs: MetricInputs) -> MetricResult:
    """Mean absolute difference, on the scale of intensities 0 to 1, between an image and its translation there and
    back; lower is better. Interval: t over the images.

    0 for a translator that changes nothing, and for one that hides the source in invisible detail (Chu, Zhmoginov and
    Sandler 2017, "CycleGAN, a master of steganography").
    """
    direction = cast(TranslationDirection, inputs.model)
    apart = (direction.translate_back() - to_float(direction.source.pixels)).abs().flatten(1).mean(1) / 2
    if len(apart) < MIN_IMAGES:
        raise UndefinedMetric(f"needs at least {MIN_IMAGES} images, found {len(apart)}")
    low, high = mean_interval(apart.tolist())
    return MetricResult(float(apart.mean()), low, high, n=len(apart))
