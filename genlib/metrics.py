"""Metrics as plain functions: features of held-out real and of generated images in, a `Measure` out.

`genlib.metrics.<name>(real, fake, train=None, *, seed=0)`, each set an array or tensor [n, d] of the features that
any network sees; `train` is what the generator saw. All metrics of generated images are here (`dir(genlib.metrics)`);
one that asks for more than features has no value, and says so. Both sets are cut to the size of the smaller by a draw.
There is no null: call it again with other real images in the place of the fakes, or give the images to
`genlib.evaluate`.

    >>> import torch
    >>> from genlib import metrics
    >>> draw = torch.Generator().manual_seed(0)
    >>> real, fake = torch.randn(1000, 4, generator=draw), 1 + torch.randn(1000, 4, generator=draw)
    >>> distance = metrics.frechet(real, fake)  # of these two laws: 4
    >>> distance.low < 4 < distance.high
    True
    >>> print(metrics.copying(real, fake))
    none (no training images were given)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any

import torch
from torch import Tensor

from genlib.data.batches import seeded
from genlib.errors import InputError
from genlib.evaluation.evidence import Absent, Evidence, View
from genlib.evaluation.measure import Measure, Undefined
from genlib.evaluation.metric import Metric, catalogue, find


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


def __getattr__(name: str) -> Callable[..., Measure]:
    if name in catalogue():
        metric = find(name)
        return update_wrapper(partial(_measured, metric), metric.compute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [name for name in catalogue() if find(name).needs == "fake"]


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
