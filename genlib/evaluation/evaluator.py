"""A model and the features of real images become the inputs of metrics.

The tuning classifier scores sweeps on `valid`, the reporting classifier gives the reported numbers on `test`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import torch
from torch import Tensor, nn

from genlib.data.dataset import Dataset
from genlib.data.images import Images, StoredImages, to_pixels
from genlib.data.random import seeded_generator
from genlib.data.splits import SPLIT_NAMES
from genlib.errors import InputError
from genlib.evaluation.calibration import Calibration, calibrate, calibration_key, heard_metrics
from genlib.evaluation.controls import add_controls
from genlib.evaluation.extractors.classifier import load_classifier
from genlib.evaluation.feature_cache import CachedExtractor, ExtractFn
from genlib.evaluation.halves import add_halves
from genlib.evaluation.runner import compute_metrics
from genlib.metrics.inputs import FeatureSet, MetricInputs, build_inputs, extract_features, shuffle_real_sets
from genlib.metrics.registry import available_inputs, get_metric, model_capabilities, split_direction
from genlib.metrics.result import MetricResult
from genlib.metrics.translation import Domain, TranslationDirection, Translator
from genlib.progress import ProgressWrapper, track_progress, without_progress

NUM_SUMMARY_METRICS = 10


@dataclass(frozen=True)
class RealFeatures:
    """The features of the real images of one domain."""

    train: FeatureSet
    valid: FeatureSet
    test: FeatureSet

    @classmethod
    def extract(cls, extractor: CachedExtractor, dataset: Dataset, *, labelled: bool = True) -> RealFeatures:
        """`labelled`: whether the labels are the classes that the extractor knows; they are left out otherwise."""
        sets = (dataset.open_split(name) for name in SPLIT_NAMES)
        return cls(*(extractor(images if labelled else StoredImages(images.pixels)) for images in sets))

    def as_validation(self) -> RealFeatures:
        """For a sweep: validation images for test, and training images for the baseline."""
        return RealFeatures(self.train, self.train, self.valid)


@dataclass(frozen=True)
class Evaluator:
    """A classifier and its features of the real images, extracted once for any number of models; `second_evaluator`:
    another classifier with its features of the same images."""

    extractor: CachedExtractor
    dataset: Dataset
    real: RealFeatures
    card: Mapping[str, Any]
    second_evaluator: Evaluator | None = None

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        dataset: Dataset,
        *,
        second_evaluator: Evaluator | None = None,
        cache: Path | None = None,
        extract: ExtractFn = extract_features,
    ) -> Evaluator:
        """With the classifier in `folder`; `cache` is the folder of the feature cache."""
        classifier = load_classifier(folder)
        extractor = CachedExtractor(classifier.network, cache, extract=extract)
        real = RealFeatures.extract(extractor, dataset)
        return cls(extractor, dataset, real, classifier.card(extractor, real.test), second_evaluator)

    @cached_property
    def domain_b(self) -> RealFeatures | None:
        """The second domain; without labels where its classes differ from those of the first."""
        other = self.dataset.domain_b
        if other is None:
            return None
        return RealFeatures.extract(self.extractor, other, labelled=other.classes == self.dataset.classes)

    def test_inputs(self, model: nn.Module, n: int, seed: int) -> dict[str, MetricInputs]:
        """n samples of `model`, where it generates images, with test images, controls and the second classifier; by the
        suffix of the metrics' names: "", or "_a2b" and "_b2a" for the two directions of a translator."""
        found = self._build_inputs(model, n, seed, lambda real: real)
        found = {suffix: self._add_second_inputs(inputs, suffix) for suffix, inputs in found.items()}
        return {suffix: add_controls(inputs, self.extractor) for suffix, inputs in found.items()}

    def calibrate(self, inputs: Mapping[str, MetricInputs], metrics: Sequence[str]) -> dict[str, Calibration]:
        """What verdicts on the generated images of `inputs` are held against, by suffix; from the cache where it is
        there."""
        found = {}
        for suffix, each in inputs.items():
            if each.samples is not None:
                file = self._calibration_file(each, suffix, metrics)
                found[suffix] = calibrate(each, self.extractor, metrics, file, track_progress)
        return found

    def _calibration_file(self, inputs: MetricInputs, suffix: str, metrics: Sequence[str]) -> Path | None:
        if self.extractor.cache is None:
            return None
        domain = "b" if suffix == "_a2b" else "a"
        images = self.dataset.info["sha256"], domain, inputs.n, inputs.seed
        key = calibration_key(self.extractor.sha256, *images, heard_metrics(metrics))
        return self.extractor.cache / "calibrations" / f"{key}.safetensors"

    def validation_inputs(self, model: nn.Module, n: int, seed: int) -> dict[str, MetricInputs]:
        return self._build_inputs(model, n, seed, RealFeatures.as_validation)

    def _build_inputs(
        self, model: nn.Module, n: int, seed: int, select: Callable[[RealFeatures], RealFeatures]
    ) -> dict[str, MetricInputs]:
        real, network = select(self.real), self.extractor.network
        if hasattr(model, "translate"):
            a, b = real, select(self._require_domain_b())
            return {
                "_a2b": self._build_translation_inputs(model, "b", a, b, n, seed),
                "_b2a": self._build_translation_inputs(model, "a", b, a, n, seed),
            }
        n = min(n, len(real.valid), len(real.test))
        drawn = draw_samples(model, n, seed, real.train.labels)
        samples = None if drawn is None else self.extractor(drawn)
        inputs = build_inputs(network, real.train, real.valid, real.test, samples, n, seed, model=model)
        domain_b = self.domain_b if "likelihood" in model_capabilities(model) else None
        return {"": replace(inputs, domain_b_test=select(domain_b).test if domain_b else None)}

    def _build_translation_inputs(
        self, model: nn.Module, to: Domain, source: RealFeatures, target: RealFeatures, n: int, seed: int
    ) -> MetricInputs:
        """One direction of a translator: test images of `source`, translated, with the real images of `target`."""
        inputs = build_inputs(self.extractor.network, target.train, target.valid, target.test, None, n, seed)
        n = min(n, len(source.test), len(target.valid), len(target.test))
        chosen = torch.randperm(len(source.test), generator=seeded_generator(seed, "source"))[:n]
        direction = TranslationDirection(
            cast(Translator, model), to, source.test[chosen].images.read().to(device_of(model))
        )
        return replace(inputs, samples=self.extractor(direction.translated_images()), model=direction)

    def _add_second_inputs(self, inputs: MetricInputs, suffix: str) -> MetricInputs:
        second = self.second_evaluator
        if second is None or inputs.samples is None:
            return inputs
        real = second._require_domain_b() if suffix == "_a2b" else second.real
        valid, test = shuffle_real_sets(real.valid, real.test, inputs.seed)
        samples = second.extractor(inputs.samples.images)
        second_inputs = replace(inputs, train=real.train, valid=valid, test=test, samples=samples, domain_b_test=None)
        return replace(inputs, second_inputs=add_controls(second_inputs, second.extractor))

    def _require_domain_b(self) -> RealFeatures:
        if self.domain_b is None:
            raise InputError("data.domain_b: got one domain of images, expected two, for a model that translates")
        return self.domain_b


def draw_samples(model: nn.Module, n: int, seed: int, labels: Tensor | None = None) -> Images | None:
    """n samples of `model`, or None where it generates no images. A conditional one gets classes drawn from the
    training `labels`, which the images keep."""
    if not hasattr(model, "sample"):
        return None
    if labels is None or not getattr(model, "conditional", False):
        return Images(to_pixels(model.sample(n, seed=seed)))  # type: ignore[operator]
    classes = labels[torch.randint(len(labels), (n,), generator=seeded_generator(seed, "classes"))]
    return Images(to_pixels(model.sample(n, seed=seed, y=classes.to(device_of(model)))), classes)  # type: ignore[operator]


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def compute_applicable_metrics(
    inputs: Mapping[str, MetricInputs],
    metrics: Iterable[str],
    calibrations: Mapping[str, Calibration] | None = None,
    track: ProgressWrapper = without_progress,
) -> dict[str, MetricResult]:
    """Those of `metrics` that apply to what the model can do, with their values on halves of the images, for each
    direction under the name with its suffix."""
    metrics, known = list(metrics), calibrations or {}
    found = {}
    for suffix, each in inputs.items():
        results = compute_metrics(each, applicable_metrics(each, metrics), known.get(suffix, Calibration()).baselines)
        found[suffix] = add_halves(results, each, track)
    return {name + suffix: found[suffix][name] for name in metrics for suffix in found if name in found[suffix]}


def applicable_metrics(inputs: MetricInputs, metrics: Iterable[str]) -> list[str]:
    return [name for name in metrics if get_metric(name).needs in available_inputs(inputs)]


def flatten_results(results: Mapping[str, MetricResult]) -> dict[str, float]:
    """Value, low, high and null of `results`, under a name each; without those that are None."""
    return {
        name + suffix: part
        for name, result in results.items()
        for suffix, part in (("", result.value), ("_low", result.low), ("_high", result.high), ("_null", result.null))
        if part is not None
    }


def summary_metrics(values: Mapping[str, float | None], metrics: Sequence[str]) -> dict[str, float]:
    """Those of the first NUM_SUMMARY_METRICS that have a value; of a translator the mean of both directions."""
    found: dict[str, list[float | None]] = {name: [] for name in metrics[:NUM_SUMMARY_METRICS]}
    for name, value in values.items():
        found.get(split_direction(name)[0], []).append(value)
    return _mean_over_directions({name: each for name, each in found.items() if each})


def _mean_over_directions(values: Mapping[str, Sequence[float | None]]) -> dict[str, float]:
    """The mean of each, without those of which a direction has no value."""
    defined = {name: [value for value in each if value is not None] for name, each in values.items()}
    return {name: fmean(each) for name, each in defined.items() if len(each) == len(values[name])}


@dataclass(frozen=True)
class TrialScorer:
    """Scores a model in training: values of metrics on validation images by the tuning classifier."""

    evaluator: Evaluator
    metrics: tuple[str, ...]
    n: int
    seed: int

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """The values of the defined metrics, the first with its interval as `<metric>_low` and `_high`; of a translator
        the means over both directions."""
        inputs = self.evaluator.validation_inputs(model, self.n, self.seed).values()
        results = {name: [get_metric(name)(each) for each in inputs] for name in self.metrics}
        values = {name: [result.value for result in each] for name, each in results.items()}
        for end in ("low", "high"):
            values[f"{self.metrics[0]}_{end}"] = [getattr(result, end) for result in results[self.metrics[0]]]
        return _mean_over_directions(values)

    def baselines(self) -> dict[str, float]:
        """The values for real images of the first domain: training images, held out of the rest."""
        real = self.evaluator.real
        order = torch.randperm(len(real.train), generator=seeded_generator(self.seed, "rehearsal"))
        n = min(self.n, len(order) // 2)
        held_out, train = real.train[order[:n]], real.train[order[n:]]
        network = self.evaluator.extractor.network
        inputs = build_inputs(network, train, held_out, real.valid, held_out, n, self.seed).with_real_samples()
        values = {name: get_metric(name)(inputs).value for name in self.metrics}
        return {name: value for name, value in values.items() if value is not None}
