"""Translation of test images, one direction at a time: is the label kept, and does the way back return the image?"""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

from torch import Tensor

from genlib.data.images import Images, to_float, to_pixels
from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.classification import compute_accuracy

Domain = Literal["a", "b"]
MIN_IMAGES = 6  # for a t-interval


class Translator(Protocol):
    def translate(self, x: Tensor, to: Domain) -> Tensor: ...


@dataclass(frozen=True)
class TranslationDirection:
    """One direction of a translator, and the images that are translated, on its device; results are in [-1, 1]."""

    translator: Translator
    to: Domain
    source: Images

    def translate(self) -> Tensor:
        return self.translator.translate(to_float(self.source.pixels), self.to)

    def translate_back(self) -> Tensor:
        return self.translator.translate(self.translate(), "a" if self.to == "b" else "b")

    def translated_images(self) -> Images:
        return Images(to_pixels(self.translate()), self.source.labels)


@metric(question=("Well translated?", 1), needs="translates", bounds=(0, 1))
def label_preservation(inputs: MetricInputs) -> MetricResult:
    """Share of translations to which the classifier gives the label of their source. Interval: Wilson."""
    if inputs.generated.labels is None or inputs.valid.labels is None:
        raise UndefinedMetric("the two domains share no labels")
    found, real = compute_accuracy(inputs.generated), compute_accuracy(inputs.with_real_samples().generated)
    return replace(found, null=real.value, detail={**found.detail, "null": {"low": real.low, "high": real.high}})


@metric(question=("Well translated?", 2), needs="translates", better="lower")
def cycle_error(inputs: MetricInputs) -> MetricResult:
    """Mean absolute difference, on the scale of intensities 0 to 1, between an image and its translation there and
    back; lower is better. Interval: t over the images."""
    direction: TranslationDirection = inputs.model
    errors = (direction.translate_back() - to_float(direction.source.pixels)).abs().flatten(1).mean(1) / 2
    if len(errors) < MIN_IMAGES:
        raise UndefinedMetric(f"needs at least {MIN_IMAGES} images, found {len(errors)}")
    return MetricResult.of_mean(errors)
