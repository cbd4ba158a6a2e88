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
from genlib.metrics.result import Measure, Undefined

if TYPE_CHECKING:
    from genlib.evaluation.controls import Control, Must
    from genlib.metrics.inputs import Evidence, View

Need = Literal[
    "fake",
    "asked",
    "rated",
    "compared",
    "glanced",
    "classifies",
    "discriminates",
    "likelihood",
    "conditional",
    "decodes",
    "encodes",
    "translates",
]
Better = Literal["higher", "lower", "real"]  # "real": the nearer to what real images get
SHOWN: dict[str, Need] = {"two": "compared", "timed": "glanced"}  # by how people were asked
OF_IMAGES = ("fake", "asked")  # real images can take the place of the generated ones
LACKS: dict[Need, str] = {
    "fake": "this model makes no images",
    "asked": "this model was not asked for classes",
    "rated": "this model makes no images that people could rate",
    "compared": "nobody was shown its images beside real ones",
    "glanced": "nobody was shown its images for a moment",
    "classifies": "this model does not classify",
    "discriminates": "this model has no discriminator",
    "likelihood": "this model has no likelihood",
    "conditional": "this model has no likelihood of an image given its class",
    "decodes": "this model makes no images of codes of a normal prior",
    "encodes": "this model does not encode",
    "translates": "this model does not translate",
}


def capabilities(model: object | None) -> frozenset[Need]:
    """What `model` can do, by the methods it has."""
    likelihood = hasattr(model, "log_weights")
    can: dict[Need, bool] = {
        "fake": hasattr(model, "sample"),
        "classifies": hasattr(model, "features"),
        "discriminates": hasattr(model, "discriminator"),
        "likelihood": likelihood,
        "conditional": likelihood and getattr(model, "conditional", False),
        "decodes": hasattr(model, "image") and (hasattr(model, "likelihood") or hasattr(model, "discriminator")),
        "encodes": hasattr(model, "code"),
        "translates": hasattr(model, "translate"),
    }
    return frozenset(need for need, able in can.items() if able)


def held(evidence: Evidence) -> frozenset[Need]:
    """What `evidence` allows to be measured: what its model can do, and images as far as there are any."""
    can = capabilities(evidence.model) - {"fake"}
    if evidence.fake is None:
        return can
    labelled = evidence.fake.labels is not None and "translates" not in can
    images: set[Need] = {"fake", "asked"} if labelled else {"fake"}
    if evidence.model is not None or evidence.ratings:
        images.add("rated")
    shown = {answer.form for answer in evidence.ratings}
    images |= {need for form, need in SHOWN.items() if form in shown}
    return can | images


@dataclass(frozen=True)
class Metric:
    """`needs`: "fake", generated images, at least `minimum` of them; "asked", such as were made for given classes;
    "rated", "compared" or "glanced", what people said of them one at a time, beside real ones or after a moment's look;
    or what the model itself can do. `catches`: what planted faults must do to it."""

    compute: Callable[[Evidence], Measure]
    needs: Need
    minimum: int
    better: Better
    catches: Mapping[Control, Must] = field(default_factory=dict)

    def __call__(self, evidence: Evidence) -> Measure:
        """The value on this evidence, or None and the reason; no null."""
        try:
            self._check(evidence)
            return self.compute(evidence)
        except Undefined as reason:
            return Measure(n=evidence.n, detail={"reason": str(reason)})
        except OverflowError:
            return Measure(n=evidence.n, detail={"reason": "the judge's features are too large to compute with"})

    def _check(self, evidence: Evidence) -> None:
        if self.needs not in held(evidence):
            raise Undefined(LACKS[self.needs])
        if self.needs not in OF_IMAGES:
            return
        if evidence.n < self.minimum:
            raise Undefined(f"needs at least {self.minimum} images of each kind, found {evidence.n}")
        for kind, view in (("generated", evidence.made), ("test", evidence.test), ("training", evidence.train)):
            if view.given:
                _check_finite(kind, view)


def _check_finite(kind: str, view: View) -> None:
    finite = view.features.isfinite().all(1) & view.probabilities.isfinite().all(1)
    if not finite.all():
        raise Undefined(f"the judge's features of {int((~finite).sum())} of {len(view)} {kind} images are not finite")


def metric(
    *,
    needs: Need = "fake",
    minimum: int = 1,
    better: Better = "higher",
    catches: Mapping[Control, Must] | None = None,
) -> Callable[[Callable[[Evidence], Measure]], Metric]:
    """Make a function a metric under its own name."""
    return lambda compute: Metric(compute, needs, minimum, better, catches or {})


@cache
def catalogue() -> dict[str, str]:
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


def names() -> tuple[str, ...]:
    return tuple(sorted(catalogue()))


def check_names(asked: Iterable[str], where: str = "evaluate.metrics") -> None:
    """Raises InputError, led by the key `where`, at the first name that is no metric."""
    for name in asked:
        if name not in catalogue():
            close = difflib.get_close_matches(str(name), names(), n=1)
            hint = f" (did you mean '{close[0]}'?)" if close else ""
            raise InputError(f"{where}: found '{name}'{hint}, legal: {', '.join(names())}")


def find(name: str) -> Metric:
    """The metric called `name`."""
    check_names([name])
    found: Metric = getattr(importlib.import_module(catalogue()[name]), name)
    return found


def evaluate(evidence: Evidence, asked: Iterable[str]) -> dict[str, Measure]:
    """Each metric's value and, by the same code on `evidence.null()` and on what is planted, its null and controls."""
    asked = list(asked)
    check_names(asked)
    null = evidence.null()
    return {name: _with_null(find(name), evidence, null) for name in asked}


def _with_null(metric: Metric, evidence: Evidence, null: Evidence) -> Measure:
    from genlib.evaluation.controls import tried

    measure = metric(evidence)
    if metric.needs not in OF_IMAGES:
        by_chance = metric.needs in ("rated", "compared")
        reason = {"reason": "chance is 0.5" if by_chance else "real images cannot take a model's place"}
        return replace(measure, detail={"null": reason, **measure.detail})
    real = metric(null)
    beside = {"low": real.low, "high": real.high, "ratio": _ratio(measure.value, real.value), **real.detail}
    controls = tried(metric, evidence, metric.catches)
    return replace(measure, null=real.value, detail={**measure.detail, "null": beside, "controls": controls})


def _ratio(value: float | None, null: float | None) -> float | None:
    ratio = math.nan if value is None or not null else value / null
    return ratio if math.isfinite(ratio) else None
