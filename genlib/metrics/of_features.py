"""Metrics of features alone: `genlib.metrics.<name>(real, fake)`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any

import torch
from torch import Tensor

from genlib.data.batches import seeded_generator
from genlib.errors import InputError
from genlib.metrics.inputs import FeatureSet, MetricInputs, MissingSet
from genlib.metrics.registry import Metric, get_metric
from genlib.metrics.result import MetricResult, UndefinedMetric


class FeaturesOnly(FeatureSet):
    """Images of which nothing is known but what a network sees of them."""

    def __init__(self, features: Tensor) -> None:
        known = {"features": features, "labels": None, "probabilities": features.new_ones(len(features), 1)}
        vars(self).update(known)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: Tensor | slice) -> FeaturesOnly:
        return FeaturesOnly(self.features[index])

    def __getattr__(self, name: str) -> Any:
        if name == "pixels":
            raise UndefinedMetric("features were given, and no pixels")
        raise AttributeError(name)


def of_features(name: str) -> Callable[..., MetricResult]:
    """The metric `name` as a function of features."""
    metric = get_metric(name)
    return update_wrapper(partial(_compute_from_features, metric), metric.compute)


def _compute_from_features(metric: Metric, real: Any, fake: Any, train: Any = None, *, seed: int = 0) -> MetricResult:
    test, made = _to_feature_set(real, "real"), _to_feature_set(fake, "fake")
    known = MissingSet("no training images were given") if train is None else _to_feature_set(train, "train")
    for where, view in (("fake", made), ("train", known)):
        if view.is_available and view.features.shape[1] != test.features.shape[1]:
            raise InputError(
                f"{where}: got {view.features.shape[1]} features, expected as many as of real, {test.features.shape[1]}"
            )
    n = min(len(test), len(made))
    test, made = (view[torch.randperm(len(view), generator=seeded_generator(seed, "rows"))] for view in (test, made))
    return metric(
        MetricInputs(
            known, MissingSet("no second set of real images was given"), test, made[:n], seed, has_class_names=False
        )
    )


def _to_feature_set(values: Any, where: str) -> FeaturesOnly:
    try:
        features = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: got a {type(values).__name__}, expected an array or tensor [n, d]") from error
    if features.ndim != 2 or features.is_complex() or 0 in features.shape:
        raise InputError(f"{where}: got the shape {list(features.shape)}, expected features [n, d], no complex ones")
    return FeaturesOnly(features.detach().cpu().float())
