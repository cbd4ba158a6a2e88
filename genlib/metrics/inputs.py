"""The inputs of metrics: features of training, validation, test and generated images, extracted once.

The baseline and the controls are the same code at the same number of images, with others in the place of the generated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Literal, NoReturn

import torch
from torch import Tensor, nn

from genlib.data.images import AnyImages, StoredImages, chunk_length, to_float
from genlib.data.pixels import Pixels, fill_rows, iter_pieces, select_rows
from genlib.data.random import seeded_generator
from genlib.human.answers import Answer
from genlib.metrics.result import UndefinedMetric
from genlib.metrics.stats.clustering import NUM_CLUSTERS, assign_clusters, kmeans
from genlib.models.layers.sampling import eval_mode


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """N images with their features, on the CPU: pixels uint8 [N, C, H, W], which may stay in a file (an index reads
    them), labels int64 [N] where there are any, features float32 [N, d], probabilities float32 [N, K]."""

    pixels: Pixels
    labels: Tensor | None
    features: Tensor
    probabilities: Tensor

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: Tensor | slice) -> FeatureSet:
        labels = None if self.labels is None else self.labels[index]
        return FeatureSet(select_rows(self.pixels, index), labels, self.features[index], self.probabilities[index])

    @classmethod
    def of_images(cls, images: AnyImages, features: Tensor, probabilities: Tensor) -> FeatureSet:
        pixels = images.pixels.cpu() if isinstance(images.pixels, Tensor) else images.pixels
        return cls(pixels, None if images.labels is None else images.labels.cpu(), features, probabilities)

    def per_image(self, function: Callable[..., Tensor], *others: Any) -> Tensor:
        """`function(self, *others)`, [N, ...], of which each row depends on that image and on `others` alone: images of
        a pool are measured once, however often they are drawn."""
        return function(self, *others)

    @property
    def predicted_classes(self) -> Tensor:
        return self.probabilities.argmax(1)

    @property
    def images(self) -> StoredImages:
        return StoredImages(self.pixels, self.labels)

    @property
    def is_available(self) -> bool:
        return "features" in vars(self)

    @cached_property
    def num_not_finite(self) -> int:
        """How many images have a feature or a probability that is not finite."""
        finite = self.features.isfinite().all(1) & self.probabilities.isfinite().all(1)
        return int((~finite).sum())


class MissingSet(FeatureSet):
    """A set without some or all parts; a metric that reads a missing part is undefined, with `reason`."""

    def __init__(self, reason: str, **known: Tensor | None) -> None:
        vars(self).update(known, reason=reason)

    def __getitem__(self, index: Tensor | slice) -> MissingSet:
        known = {name: vars(self)[name] for name in FeatureSet.__dataclass_fields__ if name in vars(self)}
        parts = {name: part if part is None else part[index] for name, part in known.items()}
        return MissingSet(vars(self)["reason"], **parts)

    def __getattr__(self, name: str) -> NoReturn:
        if name in FeatureSet.__dataclass_fields__:
            raise UndefinedMetric(str(vars(self)["reason"]))
        raise AttributeError(name)


@dataclass(frozen=True)
class MetricInputs:
    """`samples`: n generated images, their `labels` the requested classes, or None. `train`, `valid`, `test`: all real
    images; `valid` and `test` are shuffled and hold at least n. `controls`: images with a known fault. `second_inputs`:
    the same images in the same order by another extractor. `has_class_names`: whether the probabilities are of the
    data's classes, not of clusters or rotations. `centres`: of the clusters [K, d] that stand in for classes, by
    default those of the test images."""

    train: FeatureSet
    valid: FeatureSet
    test: FeatureSet
    samples: FeatureSet | None
    seed: int
    model: Any = None
    domain_b_test: FeatureSet | None = None
    controls: Mapping[str, FeatureSet] = field(default_factory=dict)
    second_inputs: MetricInputs | None = None
    has_class_names: bool = True
    ratings: tuple[Answer, ...] = ()
    centres: Tensor | None = None

    @property
    def n(self) -> int:
        return 0 if self.samples is None else len(self.samples)

    @property
    def generated(self) -> FeatureSet:
        if self.samples is None:
            raise ValueError("these inputs hold no generated images")
        return self.samples

    @property
    def real(self) -> FeatureSet:
        """The n test images that the generated ones are compared with."""
        return self.test[: self.n]

    def with_real_samples(self) -> MetricInputs:
        """With n real images of `valid` in the place of the generated ones."""
        second = self.second_inputs and self.second_inputs.with_real_samples()
        return replace(self, samples=self.valid[: self.n], model=None, second_inputs=second)

    def with_control_samples(self, name: str) -> MetricInputs:
        second = self.second_inputs and self.second_inputs.with_control_samples(name)
        return replace(self, samples=self.controls[name], model=None, second_inputs=second, ratings=())

    def classes_or_clusters(self) -> Callable[[FeatureSet], Tensor]:
        """images -> int64 [n]: the predicted class, or the k-means cluster of test images without classes."""
        if self.has_class_names:
            return lambda images: images.predicted_classes
        centres = self.cluster_centres()
        return lambda images: images.per_image(_nearest_centre, centres)

    def cluster_centres(self) -> Tensor:
        return kmeans(self.test.features, NUM_CLUSTERS, self.seed) if self.centres is None else self.centres


def _nearest_centre(images: FeatureSet, centres: Tensor) -> Tensor:
    return assign_clusters(images.features, centres)


def extract_features(
    extractor: nn.Module, images: AnyImages, device: torch.device | str = "cpu", chunk_size: int | None = None
) -> FeatureSet:
    """The last hidden layer of a classifier, `features(x)` [n, d] of x in [-1, 1], and its probabilities; its logits
    are head(features(x)) where it has a `head`. The extractor is left on `device`. Images are read and become floats
    `chunk_size` at a time, by default as many as their size allows."""
    exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    model: Any = extractor.to(device)

    def extract(pixels: Tensor) -> tuple[Tensor, Tensor]:
        x = to_float(pixels.to(device))
        h = model.features(x)
        head = getattr(model, "head", None)
        logits = model(x) if head is None else head(h)
        return h.float().cpu(), logits.float().softmax(1).cpu()

    with eval_mode(model), torch.no_grad(), exact:
        pieces = iter_pieces(images.pixels, chunk_size or chunk_length(images.shape))
        features, probabilities = fill_rows(map(extract, pieces), len(images))
    return FeatureSet.of_images(images, features, probabilities)


def build_inputs(
    extractor: nn.Module,
    train: AnyImages | FeatureSet,
    valid: AnyImages | FeatureSet,
    test: AnyImages | FeatureSet,
    samples: AnyImages | FeatureSet | None,
    n: int,
    seed: int,
    *,
    model: Any = None,
    device: torch.device | str = "cpu",
) -> MetricInputs:
    """At the common size min(n, generated, valid, test). Every prefix of the shuffled `test` has the class mix of the
    whole; `valid` and `samples` are shuffled plainly: a generator draws its classes at random too."""

    def extract(images: AnyImages | FeatureSet) -> FeatureSet:
        return images if isinstance(images, FeatureSet) else extract_features(extractor, images, device)

    train = extract(train)
    valid, test = shuffle_real_sets(extract(valid), extract(test), seed)
    if samples is not None:
        chosen = shuffled_order(samples, seed, "fake")[: min(n, len(valid), len(test))]
        samples = extract(samples[chosen])
    return MetricInputs(train, valid, test, samples, seed, model, has_class_names=train.labels is not None)


@lru_cache(maxsize=2)
def shuffle_real_sets(valid: FeatureSet, test: FeatureSet, seed: int) -> tuple[FeatureSet, FeatureSet]:
    """Both sets in their seeded order, the same for every extractor; cached for sweeps."""
    return valid[shuffled_order(valid, seed, "valid")], test[stratified_order(test.labels, len(test), seed)]


def shuffled_order(images: Sized, seed: int, set_name: Literal["fake", "valid"]) -> Tensor:
    return torch.randperm(len(images), generator=seeded_generator(seed, set_name))


def stratified_order(labels: Tensor | None, n: int, seed: int) -> Tensor:
    """Every prefix has nearly the class mix of the whole: the j-th image of a class of m, in random order, stands at
    (j + u) / m of the way, u uniform in [0, 1)."""
    generator = seeded_generator(seed, "test")
    order = torch.randperm(n, generator=generator)
    if labels is None:
        return order
    place = torch.empty(n, dtype=torch.float64)
    for label in set(labels.tolist()):
        members = order[labels[order] == label]
        jitter = torch.rand(len(members), generator=generator, dtype=torch.float64)
        place[members] = (torch.arange(len(members)) + jitter) / len(members)
    return place.argsort()
