"""Metrics as plain functions: features of held-out real and of generated images in, a `MetricResult` out.

`genlib.metrics.<name>(real, fake, train=None, *, seed=0)`, each set an array or tensor [n, d] of features; `train` are
those of the training images. `dir(genlib.metrics)` lists them; one that needs more than features returns no value and
the reason. Both sets are cut at random to the size of the smaller. There is no baseline: see `genlib.evaluate`.

    >>> import torch
    >>> from genlib import metrics
    >>> generator = torch.Generator().manual_seed(0)
    >>> real, fake = torch.randn(1000, 4, generator=generator), 1 + torch.randn(1000, 4, generator=generator)
    >>> distance = metrics.frechet(real, fake)  # of these two distributions: 4
    >>> distance.low < 4 < distance.high
    True
    >>> print(metrics.copying(real, fake))
    none (no training images were given)
"""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


class _Metrics(ModuleType):
    """`genlib.metrics.kid` is the metric, also after the file `genlib/metrics/kid.py` was imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (isinstance(value, ModuleType) and hasattr(value, name)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Metrics


def __getattr__(name: str) -> Callable[..., Any]:
    from genlib.metrics.registry import discover_metrics

    if name not in discover_metrics():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from genlib.metrics.of_features import of_features

    return of_features(name)


def __dir__() -> list[str]:
    from genlib.metrics.registry import discover_metrics, get_metric

    return [name for name in discover_metrics() if get_metric(name).needs == "samples"]
