"""genlib: reproducible, distributed experiments on generative image models.

The public names; each is imported when it is first used, so that `import genlib` costs nothing:

    load(folder)                  a trained model, from the folder that a train stage wrote
    evaluate(real, fake, train)   every metric of images, each with its interval, baseline and controls
    metrics.frechet(real, fake)   one metric of features, any of them by its name
    MetricResult                  what they return: value, low, high, null, n, detail
    InputError                    what they raise for a wrong argument: one line that says what was expected

    >>> import genlib
    >>> try:
    ...     genlib.load("nowhere")
    ... except genlib.InputError as error:
    ...     print(error)
    nowhere: not a model folder (got no nowhere/config.json), expected one that a train stage wrote
    >>> print(genlib.MetricResult(0.5, 0.4, 0.6, null=0.9, n=100))
    0.5 [0.4, 0.6], real images 0.9, n 100
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genlib.errors import InputError as InputError
    from genlib.evaluation.image_sets import evaluate as evaluate
    from genlib.metrics.of_features import of_features as metrics
    from genlib.metrics.result import MetricResult as MetricResult
    from genlib.registry import load as load

PUBLIC_SUBMODULES = {
    "load": "registry",
    "evaluate": "evaluation.image_sets",
    "metrics": "metrics",
    "MetricResult": "metrics.result",
    "InputError": "errors",
}
__all__ = ["InputError", "MetricResult", "evaluate", "load", "metrics"]


def __getattr__(name: str) -> object:
    if name not in PUBLIC_SUBMODULES:
        hint = ", it is called MetricResult" if name == "Measure" else ""
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")
    home = import_module(f"genlib.{PUBLIC_SUBMODULES[name]}")
    return getattr(home, name, home)


def __dir__() -> list[str]:
    return __all__
