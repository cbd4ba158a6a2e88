"""A model before its judge: draw images, look at them, measure.

Judge A scores sweeps on `valid`, judge B gives the reported numbers on `test`; each is the classifier in its folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import torch
from torch import Tensor, nn

from genlib.data.batches import seeded
from genlib.data.dataset import Dataset
from genlib.data.images import Images, to_pixels
from genlib.errors import InputError
from genlib.evaluation.controls import plant
from genlib.evaluation.feature_cache import Look, Looker
from genlib.metrics.classification import accuracy_of
from genlib.metrics.inputs import Evidence, View, gather, shuffled
from genlib.metrics.inputs import look as plainly
from genlib.metrics.questions import way
from genlib.metrics.registry import capabilities, evaluate, find, held
from genlib.metrics.result import Measure, Undefined
from genlib.metrics.translation import Direction, Domain, Translates
from genlib.registry import load

HEADLINES = 10


@dataclass(frozen=True)
class Views:
    """The real images of one domain as the judge sees them."""

    train: View
    valid: View
    test: View

    @classmethod
    def of(cls, look: Looker, dataset: Dataset, *, labelled: bool = True) -> Views:
        """Without the labels where they are not those that the judge knows."""
        sets = (dataset.train, dataset.valid, dataset.test)
        return cls(*(look(images if labelled else Images(images.pixels)) for images in sets))

    def rehearsed(self) -> Views:
        """What a sweep may look at: validation images for test, and training images for null."""
        return Views(self.train, self.train, self.valid)


@dataclass(frozen=True)
class Bench:
    """A judge and the real images as it sees them; looking at those is done once for any number of models.

    `second`: the bench of another judge of the same data, who sees the same images.
    """

    look: Looker
    dataset: Dataset
    real: Views
    card: Mapping[str, Any]
    second: Bench | None = None

    @classmethod
    def of(
        cls,
        folder: Path,
        dataset: Dataset,
        *,
        second: Bench | None = None,
        cache: Path | None = None,
        by: Look = plainly,
    ) -> Bench:
        """The bench of the judge that lies in `folder`; it looks by way of `by`, and what it sees is kept in the folder
        `cache`.

        Raises:
            InputError: the folder holds no model, or one that does not classify these images.
        """
        judge = load(folder)
        if not hasattr(judge, "features"):
            raise InputError(f"{folder}: found a model that does not classify, legal: a judge's folder")
        looker = Looker(judge, cache, look=by)
        real = Views.of(looker, dataset)
        return cls(looker, dataset, real, judge_card(folder, real.test), second)

    @cached_property
    def other(self) -> Views | None:
        """The second domain, looked at when first asked for; without labels where its classes are others."""
        other = self.dataset.other
        if other is None:
            return None
        return Views.of(self.look, other, labelled=other.classes == self.dataset.classes)

    def evidence(self, model: nn.Module, n: int, seed: int) -> dict[str, Evidence]:
        """`model` against the test images: n of its samples, where it makes any, the controls, and the second judge.

        By the ending that its metrics' names get: "", or "_a2b" and "_b2a" for the two ways of a translator.
        """
        ways = self._evidence(model, n, seed, lambda views: views)
        return {way: plant(self._with_second(evidence, way), self.look) for way, evidence in ways.items()}

    def rehearsal(self, model: nn.Module, n: int, seed: int) -> dict[str, Evidence]:
        """`model` against the validation images, with training images for null: what a sweep may look at."""
        return self._evidence(model, n, seed, Views.rehearsed)

    def _evidence(self, model: nn.Module, n: int, seed: int, part: Callable[[Views], Views]) -> dict[str, Evidence]:
        real = part(self.real)
        if hasattr(model, "translate"):
            a, b = real, part(self._other())
            return {
                "_a2b": self._translated(model, "b", a, b, n, seed),
                "_b2a": self._translated(model, "a", b, a, n, seed),
            }
        n = min(n, len(real.valid), len(real.test))
        fake = drawn(model, n, seed, real.train.labels)
        made = None if fake is None else self.look(fake)
        evidence = gather(self.look.judge, real.train, real.valid, real.test, made, n, seed, model=model)
        foreign = self.other if "likelihood" in capabilities(model) else None
        return {"": replace(evidence, other=part(foreign).test if foreign else None)}

    def _translated(self, model: nn.Module, to: Domain, source: Views, target: Views, n: int, seed: int) -> Evidence:
        """One way of a translator: test images of `source`, translated, against the real images of `target`."""
        there = gather(self.look.judge, target.train, target.valid, target.test, None, n, seed)
        n = min(n, len(source.test), len(target.valid), len(target.test))
        chosen = torch.randperm(len(source.test), generator=seeded(seed, "source"))[:n]
        direction = Direction(cast(Translates, model), to, source.test[chosen].images.to(device_of(model)))
        return replace(there, fake=self.look(direction.made()), model=direction)

    def _with_second(self, evidence: Evidence, way: str) -> Evidence:
        """`evidence` beside what the second judge sees of the same images."""
        if self.second is None or evidence.fake is None:
            return evidence
        views = self.second._other() if way == "_a2b" else self.second.real
        valid, test = shuffled(views.valid, views.test, evidence.seed)
        fake = self.second.look(evidence.fake.images)
        seen = Evidence(views.train, valid, test, fake, evidence.seed, evidence.model, named=evidence.named)
        return replace(evidence, second=plant(seen, self.second.look))

    def _other(self) -> Views:
        if self.other is None:
            raise InputError("data.other: found one domain of images, legal: two, for a model that translates")
        return self.other


def drawn(model: nn.Module, n: int, seed: int, labels: Tensor | None = None) -> Images | None:
    """n samples of `model`, or None where it makes none.

    A conditional one is asked for classes that are drawn from the training `labels`, and they are kept with the images.
    """
    if not hasattr(model, "sample"):
        return None
    if labels is None or not getattr(model, "conditional", False):
        return Images(to_pixels(model.sample(n, seed=seed)))  # type: ignore[operator]
    asked = labels[torch.randint(len(labels), (n,), generator=seeded(seed, "classes"))]
    return Images(to_pixels(model.sample(n, seed=seed, y=asked.to(device_of(model)))), asked)  # type: ignore[operator]


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def measure(evidence: Mapping[str, Evidence], asked: Iterable[str]) -> dict[str, Measure]:
    """The metrics of `asked` that apply to what the model can do, each way under its own name."""
    asked = list(asked)
    found = {ending: evaluate(each, applicable(each, asked)) for ending, each in evidence.items()}
    return {name + way: found[way][name] for name in asked for way in found if name in found[way]}


def applicable(evidence: Evidence, asked: Iterable[str]) -> list[str]:
    """Those of `asked` for which the evidence holds what they need."""
    return [name for name in asked if find(name).needs in held(evidence)]


def logged(measures: Mapping[str, Measure]) -> dict[str, float]:
    """The numbers of `measures` under one name each: value, low, high and null."""
    parts = {
        (name, part): getattr(found, part)
        for name, found in measures.items()
        for part in ("value", "low", "high", "null")
    }
    return {name if part == "value" else f"{name}_{part}": v for (name, part), v in parts.items() if v is not None}


def headlines(values: Mapping[str, float | None], asked: Sequence[str]) -> dict[str, float]:
    """Those of the first `HEADLINES` metrics asked for that have a value; of a translator the mean of both ways."""
    found: dict[str, list[float | None]] = {name: [] for name in asked[:HEADLINES]}
    for name, value in values.items():
        found.get(way(name)[0], []).append(value)
    known = {name: [value for value in each if value is not None] for name, each in found.items()}
    return {name: fmean(each) for name, each in known.items() if each and len(each) == len(found[name])}


def judge_card(folder: Path, test: View) -> dict[str, Any]:
    """Who judged: name, layer, accuracy on test (None without labels) and the hash of the weights."""
    try:
        accuracy = accuracy_of(test).value
    except Undefined:
        accuracy = None
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    layer = f"features[{test.features.shape[1]}]"
    return {"extractor": folder.name, "layer": layer, "accuracy": accuracy, "sha256": digest}


@dataclass(frozen=True)
class Rehearsal:
    """Scores a model that is still in training: plain numbers, on validation images, by judge A."""

    bench: Bench
    asked: tuple[str, ...]
    n: int
    seed: int

    def __call__(self, model: nn.Module) -> dict[str, float]:
        """The values of the metrics asked for, the first with the ends of its interval as `<metric>_low` and `_high`.

        Of a translator the means of both ways; an undefined one is left out.
        """
        ways = self.bench.rehearsal(model, self.n, self.seed).values()
        measures = {name: [find(name)(way) for way in ways] for name in self.asked}
        found = {name: [measure.value for measure in each] for name, each in measures.items()}
        for end in ("low", "high"):
            found[f"{self.asked[0]}_{end}"] = [getattr(measure, end) for measure in measures[self.asked[0]]]
        known = {name: [value for value in values if value is not None] for name, values in found.items()}
        return {name: fmean(values) for name, values in known.items() if len(values) == len(ways)}

    def nulls(self) -> dict[str, float]:
        """What real images of the first domain get in the place of the fakes: training images, held out of the rest."""
        real = self.bench.real
        order = torch.randperm(len(real.train), generator=seeded(self.seed, "rehearsal"))
        n = min(self.n, len(order) // 2)
        shown, known = real.train[order[:n]], real.train[order[n:]]
        null = gather(self.bench.look.judge, known, shown, real.valid, shown, n, self.seed).null()
        found = {name: find(name)(null).value for name in self.asked}
        return {name: value for name, value in found.items() if value is not None}
