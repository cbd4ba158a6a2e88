"""A metric is a decorated function from evidence to a measure, known by its own name.

The source is the registry: whatever is decorated with `@metric(...)` in a file of this room exists. Names are read off
the files without running them, so that settings can be checked without importing torch.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from genlib.errors import InputError
from genlib.metrics.result import MetricResult, UndefinedMetric

if TYPE_CHECKING:
    from genlib.evaluation.controls import Control, ExpectedShift
    from genlib.metrics.inputs import FeatureSet, MetricInputs

Need = Literal[
    "samples",
    "labelled_samples",
    "ratings",
    "pair_ratings",
    "timed_ratings",
    "classifies",
    "discriminates",
    "likelihood",
    "conditional",
    "decodes",
    "encodes",
    "translates",
]
Better = Literal["higher", "lower", "real"]  # "real": the nearer to what real images get
RATING_FORM: dict[str, Need] = {"two": "pair_ratings", "timed": "timed_ratings"}  # by how people were asked
IMAGE_NEEDS = ("samples", "labelled_samples")  # real images can take the place of the generated ones
MISSING: dict[Need, str] = {
    "samples": "this model makes no images",
    "labelled_samples": "this model was not asked for classes",
    "ratings": "this model makes no images that people could rate",
    "pair_ratings": "nobody was shown its images beside real ones",
    "timed_ratings": "nobody was shown its images for a moment",
    "classifies": "this model does not classify",
    "discriminates": "this model has no discriminator",
    "likelihood": "this model has no likelihood",
    "conditional": "this model has no likelihood of an image given its class",
    "decodes": "this model makes no images of codes of a normal prior",
    "encodes": "this model does not encode",
    "translates": "this model does not translate",
}


def model_capabilities(model: object | None) -> frozenset[Need]:
    """What `model` can do, by the methods it has."""
    likelihood = hasattr(model, "log_weights")
    can: dict[Need, bool] = {
        "samples": hasattr(model, "sample"),
        "classifies": hasattr(model, "features"),
        "discriminates": hasattr(model, "discriminator"),
        "likelihood": likelihood,
        "conditional": likelihood and getattr(model, "conditional", False),
        "decodes": hasattr(model, "decode_image")
        and (hasattr(model, "log_likelihood") or hasattr(model, "discriminator")),
        "encodes": hasattr(model, "encode_mean"),
        "translates": hasattr(model, "translate"),
    }
    return frozenset(need for need, able in can.items() if able)


def available_inputs(inputs: MetricInputs) -> frozenset[Need]:
    """What `evidence` allows to be measured: what its model can do, and images as far as there are any."""
    can = model_capabilities(inputs.model) - {"samples"}
    if inputs.samples is None:
        return can
    labelled = inputs.samples.labels is not None and "translates" not in can
    images: set[Need] = {"samples", "labelled_samples"} if labelled else {"samples"}
    if inputs.model is not None or inputs.ratings:
        images.add("ratings")
    shown = {answer.form for answer in inputs.ratings}
    images |= {need for form, need in RATING_FORM.items() if form in shown}
    return can | images


@dataclass(frozen=True)
class Metric:
    """`needs`: "samples", generated images, at least `minimum` of them; "labelled_samples", such as were made for given classes;
    "ratings", "pair_ratings" or "timed_ratings", what people said of them one at a time, beside real ones or after a moment's look;
    or what the model itself can do. `catches`: what planted faults must do to it."""

    compute: Callable[[MetricInputs], MetricResult]
    needs: Need
    min_images: int
    better: Better
    must_detect: Mapping[Control, ExpectedShift] = field(default_factory=dict)

    def __call__(self, inputs: MetricInputs) -> MetricResult:
        """The value on this evidence, or None and the reason; no null."""
        try:
            self._check_inputs(inputs)
            return self.compute(inputs)
        except UndefinedMetric as reason:
            return MetricResult(n=inputs.n, detail={"reason": str(reason)})
        except OverflowError:
            return MetricResult(n=inputs.n, detail={"reason": "the judge's features are too large to compute with"})

    def _check_inputs(self, inputs: MetricInputs) -> None:
        if self.needs not in available_inputs(inputs):
            raise UndefinedMetric(MISSING[self.needs])
        if self.needs not in IMAGE_NEEDS:
            return
        if inputs.n < self.min_images:
            raise UndefinedMetric(f"needs at least {self.min_images} images of each kind, found {inputs.n}")
        for kind, view in (("generated", inputs.generated), ("test", inputs.test), ("training", inputs.train)):
            if view.is_available:
                _check_finite(kind, view)


def _check_finite(kind: str, feature_set: FeatureSet) -> None:
    finite = feature_set.features.isfinite().all(1) & feature_set.probabilities.isfinite().all(1)
    if not finite.all():
        raise UndefinedMetric(
            f"the judge's features of {int((~finite).sum())} of {len(feature_set)} {kind} images are not finite"
        )


def metric(
    *,
    needs: Need = "samples",
    min_images: int = 1,
    better: Better = "higher",
    must_detect: Mapping[Control, ExpectedShift] | None = None,
) -> Callable[[Callable[[MetricInputs], MetricResult]], Metric]:
    """Make a function a metric under its own name."""
    return lambda compute: Metric(compute, needs, min_images, better, must_detect or {})


@cache
def discover_metrics() -> dict[str, str]:
    """Metric name -> the module that defines it."""
    found: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any(_is_metric(decorator) for decorator in node.decorator_list):
                found[node.name] = f"{__package__}.{path.stem}"
    return found


def _is_metric(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return isinstance(called, ast.Name) and called.id == "metric"


def metric_names() -> tuple[str, ...]:
    return tuple(sorted(discover_metrics()))


def check_metric_names(requested: Iterable[str], where: str = "evaluate.metrics") -> None:
    """Raises InputError, led by the key `where`, at the first name that is no metric."""
    for name in requested:
        if name not in discover_metrics():
            close = difflib.get_close_matches(str(name), metric_names(), n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            raise InputError(f"{where}: got '{name}'{hint}, expected {', '.join(metric_names())}")


def get_metric(name: str) -> Metric:
    """The metric called `name`."""
    check_metric_names([name])
    found: Metric = getattr(importlib.import_module(discover_metrics()[name]), name)
    return found


def compute_metrics(inputs: MetricInputs, requested: Iterable[str]) -> dict[str, MetricResult]:
    """Each metric's value and, by the same code on `evidence.null()` and on what is planted, its null and controls."""
    requested = list(requested)
    check_metric_names(requested)
    null = inputs.with_real_samples()
    return {name: _with_baseline(get_metric(name), inputs, null) for name in requested}


def _with_baseline(metric: Metric, inputs: MetricInputs, baseline_inputs: MetricInputs) -> MetricResult:
    from genlib.evaluation.controls import run_controls

    measure = metric(inputs)
    if metric.needs not in IMAGE_NEEDS:
        by_chance = metric.needs in ("ratings", "pair_ratings")
        reason = {"reason": "chance is 0.5" if by_chance else "real images cannot take a model's place"}
        return replace(measure, detail={"null": reason, **measure.detail})
    real = metric(baseline_inputs)
    beside = {"low": real.low, "high": real.high, "ratio": _ratio_to_baseline(measure.value, real.value), **real.detail}
    controls = run_controls(metric, inputs, metric.must_detect)
    return replace(measure, null=real.value, detail={**measure.detail, "null": beside, "controls": controls})


def _ratio_to_baseline(value: float | None, baseline: float | None) -> float | None:
    ratio = math.nan if value is None or not baseline else value / baseline
    return ratio if math.isfinite(ratio) else None
