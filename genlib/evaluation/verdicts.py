"""Three verdicts on a generator: does it look real, did it copy, are its images all alike? docs/guide.md has the rules.

A metric finds a fault where its interval lies wholly on the worse side of that of real images. Metrics without a value
or with a failed control are ignored; `membership_auc` and ratings are cited and decide nothing. Where the images are
all alike, only metrics of single images count for "real-looking": the others also penalise missing modes. A translator
gets the worse answer of its two directions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from genlib.formatting import MINUS, display_name, format_number
from genlib.metrics.registry import ALIKE, COPIED, REAL, Metric, VerdictGroup, metrics_of_verdict, split_direction
from genlib.metrics.result import MetricResult

VerdictAnswer = Literal["yes", "nearly", "partly", "no", "cannot tell"]
HUMAN_METRICS = {"human_error_rate": "", "human_choice_error": ", asked side by side"}  # how they were asked
BEST_FIRST: dict[str, tuple[VerdictAnswer, ...]] = {
    REAL: ("cannot tell", "yes", "nearly", "no"),
    COPIED: ("cannot tell", "no", "partly", "yes"),
    ALIKE: ("cannot tell", "no", "partly", "yes"),
}
DIRECTION_PREFIX = {"": "", "_a2b": "From A to B: ", "_b2a": "From B to A: "}
NEARLY_REAL_MAX, COPIED_MIN, ALIKE_MIN = 0.25, 0.5, 0.8  # of the images, at fault
CHANCE = 0.5  # error rate of a guess between two answers
MAX_CITED = 2


@dataclass(frozen=True)
class Verdict:
    """`sentence` gives the deciding numbers; `figure` is the name of the figure that shows them."""

    question: str
    answer: VerdictAnswer
    sentence: str
    figure: str

    @property
    def key(self) -> str:
        return self.question.removesuffix("?").lower().replace("-", "_").replace(" ", "_")

    @property
    def is_good(self) -> bool:
        return self.answer == BEST_FIRST[self.question][1]

    def __str__(self) -> str:
        return f"{self.question} {self.answer}. {self.sentence}"


class MetricFinding(NamedTuple):
    """A usable metric, and the share of the images that is at fault, where the metric has such a scale."""

    metric: str
    result: MetricResult
    share: float | None

    def __str__(self) -> str:
        value, null = _format_result(self.result), _format_number(self.result.null)
        return f"{display_name(self.metric)} {value} where real images get {null}"


Findings = Sequence[MetricFinding]


def compute_verdicts(results: Mapping[str, MetricResult]) -> tuple[Verdict, ...]:
    """The three verdicts; none where no metric of generated images was computed."""
    by_direction: dict[str, dict[str, MetricResult]] = {}
    for name, result in results.items():
        metric, suffix = split_direction(name)
        by_direction.setdefault(suffix, {})[metric] = result
    image_metrics = metrics_of_verdict("per_image", "distribution", "memorization", "support_size", "modes").keys()
    answers = [
        _answer_questions(each, DIRECTION_PREFIX[suffix])
        for suffix, each in by_direction.items()
        if image_metrics & each.keys()
    ]
    return tuple(
        max(verdicts, key=lambda verdict: BEST_FIRST[verdict.question].index(verdict.answer))
        for verdicts in zip(*answers, strict=True)
    )


def _answer_questions(results: Mapping[str, MetricResult], prefix: str) -> tuple[Verdict, Verdict, Verdict]:
    alike, why_alike = _answer_alike(results)
    groups: tuple[VerdictGroup, ...] = ("per_image",) if alike == "yes" else ("per_image", "distribution")
    real, why_real = _answer(results, groups, "found a difference from real images", "yes", _grade_difference)
    copied, why_copied = _answer(results, ("memorization",), "found copies", "no", _grade_copies)
    pairs = "closest_pairs" if "support" in results else "samples"
    return (
        Verdict(REAL, real, prefix + why_real + _human_note(results), "samples"),
        Verdict(COPIED, copied, prefix + why_copied + _membership_note(results), "nearest_neighbours"),
        Verdict(ALIKE, alike, prefix + why_alike, pairs),
    )


def _answer(
    results: Mapping[str, MetricResult],
    groups: Sequence[VerdictGroup],
    found: str,
    best: VerdictAnswer,
    grade: Callable[[Findings, Findings], VerdictAnswer],
) -> tuple[VerdictAnswer, str]:
    """`best` where no metric of `groups` finds the fault, else the `grade` of all findings and those of a fault."""
    usable, faulty = _usable_metrics(results, *groups)
    if not usable:
        return "cannot tell", _why_unknown(results, *groups)
    return grade(usable, faulty) if faulty else best, _cite(found, faulty, usable)


def _grade_difference(usable: Findings, faulty: Findings) -> VerdictAnswer:
    has_scale = any(finding.share is not None for finding in usable)
    return "nearly" if has_scale and _max_fault_share(faulty) <= NEARLY_REAL_MAX else "no"


def _grade_copies(usable: Findings, faulty: Findings) -> VerdictAnswer:
    has_scale = any(finding.share is not None for finding in faulty)
    return "partly" if has_scale and _max_fault_share(faulty) < COPIED_MIN else "yes"


def _answer_alike(results: Mapping[str, MetricResult]) -> tuple[VerdictAnswer, str]:
    sizes, fewer = _usable_metrics(results, "support_size")
    modes, missing = _usable_metrics(results, "modes")
    if not sizes and not modes:
        return "cannot tell", _why_unknown(results, "support_size", "modes")
    if fewer:
        sentence = _cite("found fewer different images than among real ones", fewer, sizes)
        return ("yes" if _max_fault_share(fewer) > ALIKE_MIN else "partly"), sentence
    if missing:
        return "partly", _cite("missed modes of the real images", missing, modes)
    return "no", _cite("found less variety than among real images", [], [*sizes, *modes])


def _usable_metrics(results: Mapping[str, MetricResult], *groups: VerdictGroup) -> tuple[Findings, Findings]:
    """The findings of metrics that have a value, a baseline and no failed control, and the faulty ones."""
    usable, faulty = [], []
    for name, metric in metrics_of_verdict(*groups).items():
        result = results.get(name, MetricResult())
        if result.value is None or result.null is None or result.failed_control:
            continue
        share_of = metric.verdict[1]
        share = share_of(float(result.value), float(result.null)) if share_of else None
        usable.append(MetricFinding(name, result, share))
        if _is_shifted(result, metric):
            faulty.append(usable[-1])
    return usable, faulty


def _is_shifted(result: MetricResult, metric: Metric) -> bool:
    """Whether the interval of the value lies wholly on the worse side of that of real images."""
    real = result.detail.get("null", {})
    low, high = _bounds(result, result.detail)
    real_low, real_high = _bounds(MetricResult(result.null, real.get("low"), real.get("high")), real)
    return low > real_high if metric.better == "lower" else high < real_low


def _bounds(result: MetricResult, detail: Mapping[str, Any]) -> tuple[float, float]:
    low, high = result.bounds
    return low, math.inf if detail.get("more_than") else high


def _max_fault_share(findings: Findings) -> float:
    return max((finding.share for finding in findings if finding.share is not None), default=0.0)


def _cite(found: str, faulty: Findings, usable: Findings) -> str:
    """How many metrics `found` the fault, and the numbers of the worst; where none did, of the first."""
    worst = sorted(faulty, key=lambda finding: finding.share or 0.0, reverse=True) or usable
    count = f"{len(faulty) or 'None'} of {len(usable)} metric{'s' if len(usable) > 1 else ''}"
    return f"{count} {found}: {', '.join(map(str, worst[:MAX_CITED]))}."


def _why_unknown(results: Mapping[str, MetricResult], *groups: VerdictGroup) -> str:
    computed = [(display_name(name), results[name]) for name in metrics_of_verdict(*groups) if name in results]
    reasons = [f"{name} failed its control: {found.failed_control}" for name, found in computed if found.failed_control]
    reasons += [f"{name}: {found.detail.get('reason', 'no value')}" for name, found in computed if found.value is None]
    return f"{reasons[0].capitalize()}." if reasons else "No metric that could tell was measured."


def _membership_note(results: Mapping[str, MetricResult]) -> str:
    """A sentence on the discriminator, where it recognises training images better than chance."""
    auc = results.get("membership_auc", MetricResult())
    if auc.value is None or auc.low is None or auc.low <= CHANCE or auc.failed_control:
        return ""
    return f" Its discriminator knows the training images: membership auc {_format_result(auc)} where chance is 0.5."


def _human_note(results: Mapping[str, MetricResult]) -> str:
    note = ""
    for metric, how in HUMAN_METRICS.items():
        result = results.get(metric, MetricResult())
        if result.value is not None:
            ends = " to ".join(f"{100 * end:.0f}" for end in (result.low, result.high) if end is not None)
            note += f" People{how}: {100 * result.value:.0f} % wrong ({ends}): {_interpret_error_rate(result)}."
    return note


def _interpret_error_rate(result: MetricResult) -> str:
    """What an error rate and its interval say about the raters; 50 % is chance."""
    if result.detail.get("equivalent"):
        return "they cannot tell them apart"
    if result.high is not None and result.high < CHANCE:
        return "they tell them apart"
    if result.low is not None and result.low > CHANCE:
        return "they take the generated ones for real more often than the real ones"
    return "too few answers to say"


def _format_result(result: MetricResult) -> str:
    more = "more than " if result.detail.get("more_than") else ""
    has_ends = result.low is not None and result.high is not None
    ends = f" [{_format_number(result.low)}, {_format_number(result.high)}]" if has_ends else ""
    return f"{more}{_format_number(result.value)}{ends}"


def _format_number(value: float | None) -> str:
    return format_number(value).replace(MINUS, "-")
