"""What the metrics judge: train, valid, test and generated images as one judge sees them.

Looking is dear and happens once; every metric then reads the same tensors. `Evidence.null` is the same evidence with
real held-out images in the place of the generated ones, so that what a perfect generator would score is computed by the
very code that scores the model, at the same number of images; `Evidence.control` puts images there whose faults are
known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import Literal, NoReturn, Protocol, cast

import torch
from torch import Tensor, nn

from genlib.data.batches import seeded_generator
from genlib.data.images import Images, to_float
from genlib.human.answers import Answer
from genlib.metrics.result import UndefinedMetric

CHUNK_SIZE = 500


class FeatureExtractor(Protocol):
    """A classifier whose last hidden layer can be read: x [n, C, H, W] in [-1, 1] -> features [n, d], logits [n, K].

    Where it has a `head`, forward(x) = head(features(x)), and it is passed through once.
    """

    def features(self, x: Tensor) -> Tensor: ...
    def __call__(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class FeatureSet:
    """N images as a judge sees them, on the CPU: pixels uint8 [N, C, H, W], labels int64 [N] where there are any,
    features float32 [N, d], probabilities float32 [N, K]."""

    pixels: Tensor
    labels: Tensor | None
    features: Tensor
    probabilities: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: Tensor | slice) -> FeatureSet:
        labels = None if self.labels is None else self.labels[index]
        return FeatureSet(self.pixels[index], labels, self.features[index], self.probabilities[index])

    @property
    def predicted_classes(self) -> Tensor:
        """int64 [N], the class the judge gives each image."""
        return self.probabilities.argmax(1)

    @property
    def images(self) -> Images:
        return Images(self.pixels, self.labels)

    @property
    def is_available(self) -> bool:
        return True


class MissingSet(FeatureSet):
    """Images that nobody gave: whatever reads them has no value, for this reason."""

    def __init__(self, reason: str) -> None:
        object.__setattr__(self, "reason", reason)

    @property
    def is_available(self) -> bool:
        return False

    def __getattr__(self, name: str) -> NoReturn:
        if name in {field.name for field in fields(FeatureSet)}:
            raise UndefinedMetric(str(self.reason))
        raise AttributeError(name)


@dataclass(frozen=True)
class MetricInputs:
    """`fake`: n generated images, or None for a model that makes none; `train`, `valid`, `test`: all real images.

    `train` is `Absent` where nobody knows it. `valid` and `test` are shuffled, and each holds at least n. `model` is
    what is judged, for metrics that ask it. `other`: the test images of the second domain, where there is one.
    `fake.labels` are the classes that the model was asked for. `planted`: images whose faults are known, see
    `controls`. `second`: the same images in the same order as another judge sees them. `named`: whether the judge's
    probabilities are of the data's classes, rather than of cells or quarter turns that it made up where there are no
    labels. `ratings`: what people said of the model's images and of real ones.
    """

    train: FeatureSet
    valid: FeatureSet
    test: FeatureSet
    samples: FeatureSet | None
    seed: int
    model: object | None = None
    domain_b_test: FeatureSet | None = None
    controls: Mapping[str, FeatureSet] = field(default_factory=dict)
    second_inputs: MetricInputs | None = None
    has_class_names: bool = True
    ratings: tuple[Answer, ...] = ()

    @property
    def n(self) -> int:
        return 0 if self.samples is None else len(self.samples)

    @property
    def generated(self) -> FeatureSet:
        """The generated images; a metric that needs them is not called without."""
        if self.samples is None:
            raise ValueError("this evidence holds no generated images")
        return self.samples

    @property
    def real(self) -> FeatureSet:
        """The n test images that the generated ones are held against."""
        return self.test[: self.n]

    def with_real_samples(self) -> MetricInputs:
        """The same evidence with n real images of `valid` in the place of the generated ones."""
        return self._with_samples(
            self.valid[: self.n], None if self.second_inputs is None else self.second_inputs.with_real_samples()
        )

    def with_control_samples(self, name: str) -> MetricInputs:
        """The same evidence with the planted images `name` in the place of the generated ones."""
        second = None if self.second_inputs is None else self.second_inputs.with_control_samples(name)
        return replace(self._with_samples(self.controls[name], second), ratings=())

    def _with_samples(self, samples: FeatureSet, second_inputs: MetricInputs | None) -> MetricInputs:
        return replace(self, samples=samples, model=None, second_inputs=second_inputs)


def extract_features(
    extractor: nn.Module, images: Images, device: torch.device | str = "cpu", chunk_size: int = CHUNK_SIZE
) -> FeatureSet:
    """What `judge` sees in `images`; the judge is left on `device`."""
    was_training = extractor.training
    extractor.to(device).eval()
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        seen = [
            _features_and_probabilities(extractor, to_float(pixels.to(device)))
            for pixels in torch.split(images.pixels, chunk_size)
        ]
    extractor.train(was_training)
    features, probabilities = (torch.cat(part).cpu() for part in zip(*seen, strict=True))
    labels = None if images.labels is None else images.labels.cpu()
    return FeatureSet(images.pixels.cpu(), labels, features, probabilities)


def _features_and_probabilities(extractor: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    features = cast(FeatureExtractor, extractor).features(x)
    head = getattr(extractor, "head", None)
    logits = extractor(x) if head is None else head(features)
    return features.float(), logits.float().softmax(1)


def build_inputs(
    extractor: nn.Module,
    train: Images | FeatureSet,
    valid: Images | FeatureSet,
    test: Images | FeatureSet,
    samples: Images | FeatureSet | None,
    n: int,
    seed: int,
    *,
    model: object | None = None,
    device: torch.device | str = "cpu",
) -> MetricInputs:
    """Evidence at the common size min(n, generated, valid, test).

    What was looked at before may be given as views. `test` is shuffled so that each of its prefixes has the
    class mix of the whole; `valid` and `fake` plainly, since a generator draws its classes at random too.
    """
    seen = [
        view if isinstance(view, FeatureSet) else extract_features(extractor, view, device)
        for view in (train, valid, test)
    ]
    known, (held, against) = seen[0], shuffle_real_sets(seen[1], seen[2], seed)
    made = None
    if samples is not None:
        chosen = shuffled_order(samples, seed, "fake")[: min(n, len(held), len(against))]
        some = samples[chosen.to(samples.pixels.device)]
        made = some if isinstance(some, FeatureSet) else extract_features(extractor, some, device)
    return MetricInputs(known, held, against, made, seed, model, has_class_names=known.labels is not None)


@lru_cache(maxsize=2)
def shuffle_real_sets(valid: FeatureSet, test: FeatureSet, seed: int) -> tuple[FeatureSet, FeatureSet]:
    """Both sets in their seeded order, the same whoever looks; kept, since a sweep looks again and again."""
    return valid[shuffled_order(valid, seed, "valid")], test[stratified_order(test.labels, len(test), seed)]


def shuffled_order(images: Images | FeatureSet, seed: int, set_name: Literal["fake", "valid"]) -> Tensor:
    """The seeded order, int64 [N], in which generated or validation images are judged."""
    return torch.randperm(len(images), generator=seeded_generator(seed, set_name))


def stratified_order(labels: Tensor | None, n: int, seed: int) -> Tensor:
    """A seeded order of n images in which every prefix has nearly the class mix of the whole.

    The j-th image of a class of m, in random order, stands at (j + u) / m of the way, u uniform in [0, 1).
    """
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
