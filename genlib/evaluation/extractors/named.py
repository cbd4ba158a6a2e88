"""An extractor with its name, and the card that says how far to trust it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, nn

from genlib.data.image_sets import Shape
from genlib.errors import InputError
from genlib.evaluation.feature_cache import CachedExtractor
from genlib.metrics.classification import compute_accuracy
from genlib.metrics.inputs import FeatureSet
from genlib.metrics.result import UndefinedMetric

WEAK_BELOW = 0.75  # accuracy of a judge, corrected for chance, below which the page says that it is weak


@dataclass(frozen=True)
class NamedExtractor:
    """`num_classes`: number of the data's classes that it predicts, 0 for none; `extra`: further facts of its card;
    `shape`: of the images that it takes, where it takes no others."""

    network: nn.Module
    name: str
    layer: str
    num_classes: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)
    shape: Shape | None = None

    def require_shape(self, shape: Shape) -> None:
        """Raises InputError where it takes no images of `shape`."""
        if self.shape is None or self.shape == shape:
            return
        channels, height, width = self.shape
        size = f" (--size {height})" if channels == shape[0] and height == width else ""
        found = f"a classifier of images {[channels, height, width]}"
        raise InputError(f"--extractor {self.name}: got {found}, expected of {list(shape)}{size}")

    def card(self, cached: CachedExtractor, test: FeatureSet) -> dict[str, Any]:
        """Name, layer, accuracy on `test` (None where there is none), the hash of the weights, and a `note` where it is
        a weak judge."""
        try:
            accuracy = compute_accuracy(test).value if self.num_classes else None
        except UndefinedMetric:
            accuracy = None
        layer = f"{self.layer}[{test.features.shape[1]}]"
        card = {"extractor": self.name, "layer": layer, "accuracy": accuracy, "sha256": cached.sha256, **self.extra}
        if accuracy is not None and is_weak_judge(float(accuracy), cast(Tensor, test.labels)):
            card["note"] = f"It is right on {100 * accuracy:.0f} % of the test images: treat its numbers as rough."
        return card


def is_weak_judge(accuracy: float, labels: Tensor) -> bool:
    """(accuracy - chance) / (1 - chance) < 3/4, where always the most frequent label is right by chance. The limit is
    that of the judge the field relies on: Inception v3 names 77 % of ImageNet's images (Szegedy et al. 2016)."""
    chance = float(labels.bincount().max()) / len(labels)
    return accuracy - chance < WEAK_BELOW * (1 - chance)
