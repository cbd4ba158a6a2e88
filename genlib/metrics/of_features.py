"""Metrics of features alone: `genlib.metrics.<name>(real, fake)`."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from genlib.data.random import seeded_generator
from genlib.errors import InputError
from genlib.metrics.inputs import FeatureSet, MetricInputs, MissingSet
from genlib.metrics.registry import Metric, get_metric
from genlib.metrics.result import MetricResult


def of_features(name: str) -> Callable[..., MetricResult]:
    metric = get_metric(name)
    function: Any = partial(_compute_from_features, metric)
    function.__name__ = name
    function.__doc__ = metric.compute.__doc__
    return function  # type: ignore[no-any-return]


def _compute_from_features(metric: Metric, real: Any, fake: Any, train: Any = None, *, seed: int = 0) -> MetricResult:
    test, generated = _check_features(real, "real"), _check_features(fake, "fake")
    train_features = None if train is None else _check_features(train, "train")
    for where, features in (("fake", generated), ("train", train_features)):
        if features is not None and features.shape[1] != test.shape[1]:
            raise InputError(f"{where}: got {features.shape[1]} features, expected {test.shape[1]}, as many as of real")
    n = min(len(test), len(generated))
    test, generated = (x[torch.randperm(len(x), generator=seeded_generator(seed, "rows"))] for x in (test, generated))
    return metric(
        MetricInputs(
            MissingSet("no training images were given") if train_features is None else _features_only(train_features),
            MissingSet("no second set of real images was given"),
            _features_only(test),
            _features_only(generated[:n]),
            seed,
            has_class_names=False,
        )
    )


def _features_only(features: Tensor) -> FeatureSet:
    probabilities = features.new_ones(len(features), 1)
    parts = {"labels": None, "features": features, "probabilities": probabilities}
    return MissingSet("features were given, and no pixels", **parts)


def _check_features(values: Any, where: str) -> Tensor:
    try:
        features = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: got a {type(values).__name__}, expected an array or tensor [n, d]") from error
    if features.ndim != 2 or features.is_complex() or 0 in features.shape:
        raise InputError(f"{where}: got the shape {list(features.shape)}, expected features [n, d], no complex ones")
    return features.detach().cpu().float()
