"""A model before its judge: draw images, look at them, measure.

Judge A scores sweeps on `valid`, judge B gives the reported numbers on `test`; each is the classifier in its folder.
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

from genlib.data.batches import seeded_generator
from genlib.data.dataset import Dataset
from genlib.data.images import Images, to_pixels
from genlib.errors import InputError
from genlib.evaluation.controls import add_controls
from genlib.evaluation.feature_cache import CachedExtractor, ExtractFn
from genlib.evaluation.runner import compute_metrics
from genlib.files import file_sha256
from genlib.metrics.classification import compute_accuracy
from genlib.metrics.inputs import FeatureSet, MetricInputs, build_inputs, shuffle_real_sets
from genlib.metrics.inputs import extract_features as plainly
from genlib.metrics.questions import split_direction
from genlib.metrics.registry import available_inputs, get_metric, model_capabilities
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.translation import Domain, TranslationDirection, Translator
from genlib.registry import load

NUM_SUMMARY_METRICS = 10


@dataclass(frozen=True)
class RealFeatures:
    """The real images of one domain as the judge sees them."""

    train: FeatureSet
    valid: FeatureSet
    test: FeatureSet

    @classmethod
    def extract(cls, extractor: CachedExtractor, dataset: Dataset, *, labelled: bool = True) -> RealFeatures:
        """Without the labels where they are not those that the judge knows."""
        sets = (dataset.train, dataset.valid, dataset.test)
        return cls(*(extractor(images if labelled else Images(images.pixels)) for images in sets))

    def as_validation(self) -> RealFeatures:
        """What a sweep may look at: validation images for test, and training images for null."""
        return RealFeatures(self.train, self.train, self.valid)


@dataclass(frozen=True)
class Evaluator:
    """A judge and the real images as it sees them; looking at those is done once for any number of models.

    `second`: the bench of another judge of the same data, who sees the same images.
    """

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
        extract: ExtractFn = plainly,
    ) -> Evaluator:
        """The bench of the judge that lies in `folder`; it looks by way of `by`, and what it sees is kept in the folder
        `cache`.

        Raises:
            InputError: the folder holds no model, or one that does not classify these images.
        """
        judge = load(folder)
        if not hasattr(judge, "features"):
            raise InputError(f"{folder}: got a model that does not classify, expected a judge's folder")
        looker = CachedExtractor(judge, cache, extract=extract)
        real = RealFeatures.extract(looker, dataset)
        return cls(looker, dataset, real, classifier_card(folder, real.test), second_evaluator)

    @cached_property
    def domain_b(self) -> RealFeatures | None:
        """The second domain, looked at when first asked for; without labels where its classes are others."""
        other = self.dataset.domain_b
        if other is None:
            return None
        return RealFeatures.extract(self.extractor, other, labelled=other.classes == self.dataset.classes)

    def test_inputs(self, model: nn.Module, n: int, seed: int) -> dict[str, MetricInputs]:
        """`model` against the test images: n of its samples, where it makes any, the controls, and the second judge.

        By the ending that its metrics' names get: "", or "_a2b" and "_b2a" for the two ways of a translator.
        """
        ways = self._build_inputs(model, n, seed, lambda views: views)
        return {
            way: add_controls(self._add_second_inputs(evidence, way), self.extractor) for way, evidence in ways.items()
        }

    def validation_inputs(self, model: nn.Module, n: int, seed: int) -> dict[str, MetricInputs]:
        """`model` against the validation images, with training images for null: what a sweep may look at."""
        return self._build_inputs(model, n, seed, RealFeatures.as_validation)

    def _build_inputs(
        self, model: nn.Module, n: int, seed: int, select: Callable[[RealFeatures], RealFeatures]
    ) -> dict[str, MetricInputs]:
        real = select(self.real)
        if hasattr(model, "translate"):
            a, b = real, select(self._require_domain_b())
            return {
                "_a2b": self._build_translation_inputs(model, "b", a, b, n, seed),
                "_b2a": self._build_translation_inputs(model, "a", b, a, n, seed),
            }
        n = min(n, len(real.valid), len(real.test))
        fake = draw_samples(model, n, seed, real.train.labels)
        made = None if fake is None else self.extractor(fake)
        evidence = build_inputs(self.extractor.network, real.train, real.valid, real.test, made, n, seed, model=model)
        foreign = self.domain_b if "likelihood" in model_capabilities(model) else None
        return {"": replace(evidence, domain_b_test=select(foreign).test if foreign else None)}

    def _build_translation_inputs(
        self, model: nn.Module, to: Domain, source: RealFeatures, target: RealFeatures, n: int, seed: int
    ) -> MetricInputs:
        """One way of a translator: test images of `source`, translated, against the real images of `target`."""
        there = build_inputs(self.extractor.network, target.train, target.valid, target.test, None, n, seed)
        n = min(n, len(source.test), len(target.valid), len(target.test))
        chosen = torch.randperm(len(source.test), generator=seeded_generator(seed, "source"))[:n]
        direction = TranslationDirection(cast(Translator, model), to, source.test[chosen].images.to(device_of(model)))
        return replace(there, samples=self.extractor(direction.translated_images()), model=direction)

    def _add_second_inputs(self, inputs: MetricInputs, suffix: str) -> MetricInputs:
        """`evidence` beside what the second judge sees of the same images."""
        if self.second_evaluator is None or inputs.samples is None:
            return inputs
        views = self.second_evaluator._require_domain_b() if suffix == "_a2b" else self.second_evaluator.real
        valid, test = shuffle_real_sets(views.valid, views.test, inputs.seed)
        fake = self.second_evaluator.extractor(inputs.samples.images)
        seen = MetricInputs(
            views.train, valid, test, fake, inputs.seed, inputs.model, has_class_names=inputs.has_class_names
        )
        return replace(inputs, second_inputs=add_controls(seen, self.second_evaluator.extractor))

    def _require_domain_b(self) -> RealFeatures:
        if self.domain_b is None:
            raise InputError("data.domain_b: got one domain of images, expected two, for a model that translates")
        return self.domain_b


def draw_samples(model: nn.Module, n: int, seed: int, labels: Tensor | None = None) -> Images | None:
    """n samples of `model`, or None where it makes none.

    A conditional one is asked for classes that are drawn from the training `labels`, and they are kept with the images.
    """
    if not hasattr(model, "sample"):
        return None
    if labels is None or not getattr(model, "conditional", False):
        return Images(to_pixels(model.sample(n, seed=seed)))  # type: ignore[operator]
    asked = labels[torch.randint(len(labels), (n,), generator=seeded_generator(seed, "classes"))]
    return Images(to_pixels(model.sample(n, seed=seed, y=asked.to(device_of(model)))), asked)  # type: ignore[operator]


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def compute_applicable_metrics(inputs: Mapping[str, MetricInputs], metrics: Iterable[str]) -> dict[str, MetricResult]:
    """The metrics of `asked` that apply to what the model can do, each way under its own name."""
    metrics = list(metrics)
    found = {ending: compute_metrics(each, applicable_metrics(each, metrics)) for ending, each in inputs.items()}
    return {name + way: found[way][name] for name in metrics for way in found if name in found[way]}


def applicable_metrics(inputs: MetricInputs, metrics: Iterable[str]) -> list[str]:
    """Those of `asked` for which the evidence holds what they need."""
    return [name for name in metrics if get_metric(name).needs in available_inputs(inputs)]


def flatten_results(results: Mapping[str, MetricResult]) -> dict[str, float]:
    """The numbers of `measures` under one name each: value, low, high and null."""
    parts = {
        (name, part): getattr(found, part)
        for name, found in results.items()
        for part in ("value", "low", "high", "null")
    }
    return {name if part == "value" else f"{name}_{part}": v for (name, part), v in parts.items() if v is not None}


def summary_metrics(values: Mapping[str, float | None], metrics: Sequence[str]) -> dict[str, float]:
    """Those of the first `HEADLINES` metrics asked for that have a value; of a translator the mean of both ways."""
    found: dict[str, list[float | None]] = {name: [] for name in metrics[:NUM_SUMMARY_METRICS]}
    for name, value in values.items():
        found.get(split_direction(name)[0], []).append(value)
    known = {name: [value for value in each if value is not None] for name, each in found.items()}
    return {name: fmean(each) for name, each in known.items() if each and len(each) == len(found[name])}


def classifier_card(folder: Path, test: FeatureSet) -> dict[str, Any]:
    """Who judged: name, layer, accuracy on test (None without labels) and the hash of the weights."""
    try:
        accuracy = compute_accuracy(test).value
    except UndefinedMetric:
        accuracy = None
    digest = file_sha256(folder / "model.safetensors")
    layer = f"features[{test.features.shape[1]}]"
    return {"extractor": folder.name, "layer": layer, "accuracy": accuracy, "sha256": digest}


@dataclass(frozen=True)
class TrialScorer:
    """Scores a model that is still in training: plain numbers, on validation images, by judge A."""

    evaluator: Evaluator
    metrics: tuple[str, ...]
    n: int
    seed: int

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """The values of the metrics asked for, the first with the ends of its interval as `<metric>_low` and `_high`.

        Of a translator the means of both ways; an undefined one is left out.
        """
        ways = self.evaluator.validation_inputs(model, self.n, self.seed).values()
        measures = {name: [get_metric(name)(way) for way in ways] for name in self.metrics}
        found = {name: [measure.value for measure in each] for name, each in measures.items()}
        for end in ("low", "high"):
            found[f"{self.metrics[0]}_{end}"] = [getattr(measure, end) for measure in measures[self.metrics[0]]]
        known = {name: [value for value in values if value is not None] for name, values in found.items()}
        return {name: fmean(values) for name, values in known.items() if len(values) == len(ways)}

    def baselines(self) -> dict[str, float]:
        """What real images of the first domain get in the place of the fakes: training images, held out of the rest."""
        real = self.evaluator.real
        order = torch.randperm(len(real.train), generator=seeded_generator(self.seed, "rehearsal"))
        n = min(self.n, len(order) // 2)
        shown, known = real.train[order[:n]], real.train[order[n:]]
        null = build_inputs(
            self.evaluator.extractor.network, known, shown, real.valid, shown, n, self.seed
        ).with_real_samples()
        found = {name: get_metric(name)(null).value for name in self.metrics}
        return {name: value for name, value in found.items() if value is not None}
