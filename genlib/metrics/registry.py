"""The registry of metrics: every function of this folder decorated with `@metric(...)`, under its own name.

Names are read from the source without importing it, so that params can be checked without torch.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from genlib.errors import unknown_name
from genlib.metrics.aliases import ALIASES
from genlib.metrics.result import MetricResult, UndefinedMetric

if TYPE_CHECKING:
    from genlib.metrics.inputs import MetricInputs
    from genlib.metrics.stats.significance import Tail

Question = Literal[  # in the order of the page
    "Realistic?",
    "Original?",
    "Diverse?",
    "As asked?",
    "Well translated?",
    "Real images probable?",
    "Classes recognised?",
    "What else?",
]
QUESTIONS: tuple[Question, ...] = get_args(Question)
REALISTIC, ORIGINAL, DIVERSE = VERDICT_QUESTIONS = QUESTIONS[:3]
DIRECTIONS = ("_a2b", "_b2a")
Better = Literal["higher", "lower", "real"]  # "real": the nearer to what real images get
Control = Literal["copies", "stored", "collapse", "noise", "blurred"]  # known faults, see evaluation/controls
CONTROL_LABELS: dict[Control, str] = {
    "copies": "copies of training images",
    "stored": "stored images with jitter",
    "collapse": "one image per class",
    "noise": "noise",
    "blurred": "blurred images",
}
# Than real images, intervals apart; "not": at most not so, to the worse side; "count": the number of stored images
ExpectedShift = Literal["lower", "higher", "not lower", "not higher", "count"]
FaultShare = Callable[[float, float], float | None]
Reference = Literal["test", "train", "none"]
MAX_DRAWS = 199  # of real images in the place of both sides, at most
NEEDS = {  # what a metric may need -> the reason where it is missing
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
IMAGE_NEEDS = ("samples", "labelled_samples")  # real images can take the place of the generated ones
RATING_NEEDS = {"two": "pair_ratings", "timed": "timed_ratings"}  # by the form of the answers


def model_capabilities(model: object | None) -> frozenset[str]:
    """The needs that `model` meets, by its methods."""
    has_likelihood = hasattr(model, "log_weights")
    can_score = hasattr(model, "log_likelihood") or hasattr(model, "discriminator")
    can = {
        "samples": hasattr(model, "sample"),
        "classifies": hasattr(model, "features"),
        "discriminates": hasattr(model, "discriminator"),
        "likelihood": has_likelihood,
        "conditional": has_likelihood and getattr(model, "conditional", False),
        "decodes": hasattr(model, "decode_image") and can_score,
        "encodes": hasattr(model, "encode_mean"),
        "translates": hasattr(model, "translate"),
    }
    return frozenset(need for need, able in can.items() if able)


def available_inputs(inputs: MetricInputs) -> frozenset[str]:
    """The needs that `inputs` meet: by the model, images and ratings."""
    can = model_capabilities(inputs.model) - {"samples"}
    if inputs.samples is None:
        return can
    found = {"samples"}
    if inputs.samples.labels is not None and "translates" not in can:
        found.add("labelled_samples")
    if inputs.model is not None or inputs.ratings:
        found.add("ratings")
    return can | found | {RATING_NEEDS[answer.form] for answer in inputs.ratings if answer.form in RATING_NEEDS}


@dataclass(frozen=True, kw_only=True)
class Metric:
    """`question`: which it answers, and its position there. `needs`: one of NEEDS. `must_detect`: how each control must
    shift it, else it is not trusted. `in_verdict`: whether the verdict on its question hears it; `fault_share`: (value,
    baseline) -> the share of the images at fault, where it has such a scale. `reference`: what the generated images are
    compared with; a metric of them alone ("none") is tested by its difference from the value of the test images.
    `statistic`: the value alone, where it is cheaper than with its interval; `tested`: what has the p-value, where that
    is not the value; `max_draws`: that make its baseline; `bounds`: the least and the most value that there can be."""

    compute: Callable[[MetricInputs], MetricResult]
    question: tuple[Question, int] = ("What else?", 0)
    needs: str = "samples"
    min_images: int = 20
    better: Better = "higher"
    must_detect: Mapping[Control, ExpectedShift] = field(default_factory=dict)
    in_verdict: bool = False
    fault_share: FaultShare | None = None
    reference: Reference = "test"
    statistic: Callable[[MetricInputs], float] | None = None
    tested: Callable[[MetricInputs], float] | None = None
    max_draws: int = MAX_DRAWS
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @property
    def tail(self) -> Tail:
        """Where faults lie under the law of real images."""
        if self.better == "real":
            return "lower" if self.question[0] == ORIGINAL else "both"
        return "higher" if self.better == "lower" else "lower"

    def value(self, inputs: MetricInputs) -> float:
        """The value without its interval. Raises UndefinedMetric."""
        self._check_inputs(inputs)
        if self.statistic is not None:
            return self.statistic(inputs)
        value = self.compute(inputs).value
        if value is None:
            raise UndefinedMetric("it has no value")
        return value

    @property
    def summary(self) -> str:
        """What the page says of it, definition and source: the first paragraph of the function's docstring."""
        return (inspect.getdoc(self.compute) or "").partition("\n\n")[0].replace("\n", " ")

    def __call__(self, inputs: MetricInputs) -> MetricResult:
        try:
            self._check_inputs(inputs)
            return self.compute(inputs)
        except UndefinedMetric as reason:
            return MetricResult(n=inputs.n, detail={"reason": str(reason)})
        except OverflowError:
            return MetricResult(n=inputs.n, detail={"reason": "the features are too large to compute with"})

    def _check_inputs(self, inputs: MetricInputs) -> None:
        if self.needs not in available_inputs(inputs):
            raise UndefinedMetric(NEEDS[self.needs])
        if self.needs not in IMAGE_NEEDS:
            return
        if inputs.n < self.min_images:
            raise UndefinedMetric(f"needs at least {self.min_images} images of each kind, found {inputs.n}")
        for kind, images in (("generated", inputs.generated), ("test", inputs.test), ("training", inputs.train)):
            if images.is_available and (bad := images.num_not_finite):
                raise UndefinedMetric(f"the features of {bad} of {len(images)} {kind} images are not finite")


def metric(**about: Any) -> Callable[[Callable[[MetricInputs], MetricResult]], Metric]:
    """Makes a function a metric under its own name; `about`: the fields of `Metric`."""
    return lambda compute: Metric(compute=compute, **about)


@cache
def discover_metrics() -> dict[str, str]:
    """Metric name -> the module that defines it."""
    found: dict[str, str] = {}
    for path in sorted(Path(__file__).parent.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            decorators = map(ast.unparse, getattr(node, "decorator_list", ()))
            if isinstance(node, ast.FunctionDef) and any(each.startswith("metric(") for each in decorators):
                found[node.name] = f"{__package__}.{path.stem}"
    return found


def metric_names() -> tuple[str, ...]:
    return tuple(sorted(discover_metrics()))


def check_metric_names(requested: Iterable[str], where: str = "evaluate.metrics") -> None:
    """Raises InputError, led by the key `where`, at the first name that is no metric."""
    for name in requested:
        if name not in discover_metrics():
            raise unknown_name(where, name, (*metric_names(), *ALIASES))


def get_metric(name: str) -> Metric:
    check_metric_names([name])
    found: Metric = getattr(importlib.import_module(discover_metrics()[name]), name)
    return found


def split_direction(name: str) -> tuple[str, str]:
    """The metric's name without suffix, and its direction of a translator: "_a2b", "_b2a" or ""."""
    suffix = next((suffix for suffix in DIRECTIONS if name.endswith(suffix)), "")
    return name.removesuffix(suffix), suffix


def question_of(name: str) -> Question:
    """Its question; the last one for a metric that no longer exists."""
    return _question_and_order(name)[0]


def group_by_question(names: Iterable[str]) -> dict[Question, list[str]]:
    """`names` under their questions, in the order of the page."""
    in_order = sorted(names, key=lambda name: _question_and_order(name)[1])
    groups = {question: [name for name in in_order if question_of(name) == question] for question in QUESTIONS}
    return {question: members for question, members in groups.items() if members}


def _question_and_order(name: str) -> tuple[Question, int]:
    metric = split_direction(name)[0]
    return get_metric(metric).question if metric in discover_metrics() else ("What else?", 0)


@cache
def metrics_of_question(question: Question) -> dict[str, Metric]:
    """The metrics that a verdict on `question` hears, in the order of the page."""
    in_order = sorted(metric_names(), key=lambda name: _question_and_order(name)[1])
    metrics = {name: get_metric(name) for name in in_order}
    return {name: each for name, each in metrics.items() if each.in_verdict and each.question[0] == question}
