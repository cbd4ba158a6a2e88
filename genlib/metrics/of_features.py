"""Metrics of features alone: `genlib.metrics.<name>(real, fake)`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any

import torch
from torch import Tensor

from genlib.data.batches import seeded
from genlib.errors import InputError
from genlib.metrics.inputs import Absent, Evidence, View
from genlib.metrics.registry import Metric, find
from genlib.metrics.result import Measure, Undefined


class Features(View):
    """Images of which nothing is known but what a network sees of them."""

    def __init__(self, features: Tensor) -> None:
        known = {"features": features, "labels": None, "probabilities": features.new_ones(len(features), 1)}
        vars(self).update(known)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: Tensor | slice) -> Features:
        return Features(self.features[index])

    def __getattr__(self, name: str) -> Any:
        if name == "pixels":
            raise Undefined("features were given, and no pixels")
        raise AttributeError(name)


def of_features(name: str) -> Callable[..., Measure]:
    """The metric `name` as a function of features."""
    metric = find(name)
    return update_wrapper(partial(_measured, metric), metric.compute)


def _measured(metric: Metric, real: Any, fake: Any, train: Any = None, *, seed: int = 0) -> Measure:
    test, made = _features(real, "real"), _features(fake, "fake")
    known = Absent("no training images were given") if train is None else _features(train, "train")
    for where, view in (("fake", made), ("train", known)):
        if view.given and view.features.shape[1] != test.features.shape[1]:
            raise InputError(
                f"{where}: found {view.features.shape[1]} features, legal: as many as of real, {test.features.shape[1]}"
            )
    n = min(len(test), len(made))
    test, made = (view[torch.randperm(len(view), generator=seeded(seed, "rows"))] for view in (test, made))
    return metric(Evidence(known, Absent("no second set of real images was given"), test, made[:n], seed, named=False))


def _features(given: Any, where: str) -> Features:
    try:
        features = torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: found a {type(given).__name__}, legal: an array or tensor [n, d]") from error
    if features.ndim != 2 or features.is_complex() or 0 in features.shape:
        raise InputError(f"{where}: found the shape {list(features.shape)}, legal: features [n, d], no complex ones")
    return Features(features.detach().cpu().float())
