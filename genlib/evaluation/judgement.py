"""A model before its judge: draw images, look at them, measure.

Judge A scores sweeps on `valid`, judge B gives the reported numbers on `test`; each is the classifier in its folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from genlib.build import load
from genlib.data.dataset import Dataset
from genlib.data.images import Images, to_pixels
from genlib.errors import InputError
from genlib.evaluation.classification import accuracy_of
from genlib.evaluation.evidence import Evidence, View, gather, look
from genlib.evaluation.measure import Measure, Undefined
from genlib.evaluation.metric import evaluate, find


@dataclass(frozen=True)
class Bench:
    """A judge and the real images as it sees them; looking at those is done once for any number of models."""

    judge: nn.Module
    train: View
    valid: View
    test: View
    card: Mapping[str, Any]

    @classmethod
    def of(cls, folder: Path, dataset: Dataset) -> Bench:
        """The bench of the judge that lies in `folder`.

        Raises:
            InputError: the folder holds no model, or one that does not classify these images.
        """
        judge = load(folder)
        if not hasattr(judge, "features"):
            raise InputError(f"{folder}: found a model that does not classify, legal: a judge's folder")
        train, valid, test = (look(judge, images) for images in (dataset.train, dataset.valid, dataset.test))
        return cls(judge, train, valid, test, judge_card(folder, test))

    def evidence(self, model: nn.Module, n: int, seed: int) -> Evidence:
        """`model` against the test images: n of its samples, where it makes any."""
        return gather(self.judge, self.train, self.valid, self.test, drawn(model, n, seed), n, seed, model=model)

    def rehearsal(self, model: nn.Module, n: int, seed: int) -> Evidence:
        """`model` against the validation images, with training images for null: what a sweep may look at."""
        return gather(self.judge, self.train, self.train, self.valid, drawn(model, n, seed), n, seed, model=model)


def drawn(model: nn.Module, n: int, seed: int) -> Images | None:
    """n samples of `model`, or None where it makes none."""
    return Images(to_pixels(model.sample(n, seed=seed))) if hasattr(model, "sample") else None  # type: ignore[operator]


def measure(evidence: Evidence, asked: Iterable[str]) -> dict[str, Measure]:
    """The metrics of `asked` that apply to what the model can do."""
    can = {"fake": evidence.fake is not None, "classifies": hasattr(evidence.model, "features")}
    return evaluate(evidence, [name for name in asked if can[find(name).needs]])


def logged(measures: Mapping[str, Measure]) -> dict[str, float]:
    """The numbers of `measures` under one name each: value, low, high and null."""
    parts = {
        (name, part): getattr(found, part)
        for name, found in measures.items()
        for part in ("value", "low", "high", "null")
    }
    return {name if part == "value" else f"{name}_{part}": v for (name, part), v in parts.items() if v is not None}


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
        """The values of the metrics asked for; one that is undefined is left out."""
        evidence = self.bench.rehearsal(model, self.n, self.seed)
        found = {name: find(name)(evidence).value for name in self.asked}
        return {name: value for name, value in found.items() if value is not None}

    def nulls(self) -> dict[str, float]:
        """What real training images get in the place of the fakes."""
        real = self.bench.train[: self.n].images
        bench = self.bench
        null = gather(bench.judge, bench.train, bench.train, bench.valid, real, self.n, self.seed).null()
        found = {name: find(name)(null).value for name in self.asked}
        return {name: value for name, value in found.items() if value is not None}
