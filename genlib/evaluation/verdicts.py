"""Three questions about a generator, each answered in a line: does it look real, did it copy, are they all alike?

Only intervals decide. A metric speaks against the images where its interval lies apart from that of real images, on
the side of the fault; it is not heard where it has no value, or where it failed one of its own controls.

Copied?         "no" where no metric finds copies. "yes" where half of the images or more are found to be copied, or
                where no metric that found any says how many; else "partly".
All alike?      "no" where no metric misses anything. "yes" where `support` or `vendi`, which ask how many different
                images there are, have less than a fifth of what real images get; else "partly".
Real-looking?   "yes" where no metric tells them from real images. "no" where more than a quarter give themselves away,
                or where only metrics without such a scale were heard; else "nearly". Of images that are all alike only
                those metrics are heard that judge one image at a time: the others see what is missing.

The share of the images that is at fault is 1 - value / null for shares and effective numbers, value - null for
`copies`, and 2 value - 1 for the accuracy of `c2st`; the other metrics have no such scale.
`membership_auc` asks the discriminator, not the images: it is told beside the answer and decides nothing; so is what
people said, who are few. Of a translator each question gets the worse answer of its two ways.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from genlib.formatting import MINUS, display_name, format_number
from genlib.metrics.questions import ALIKE, COPIED, REAL, split_direction
from genlib.metrics.registry import Metric, metrics_of_verdict
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
MAX_CITED = 2


@dataclass(frozen=True)
class Verdict:
    """`sentence` gives the numbers that decided; `figure` is the name of the one that shows it."""

    question: str
    answer: VerdictAnswer
    sentence: str
    figure: str

    @property
    def key(self) -> str:
        """The question as a name of the code."""
        return self.question.removesuffix("?").lower().replace("-", "_").replace(" ", "_")

    @property
    def is_good(self) -> bool:
        return self.answer == BEST_FIRST[self.question][1]

    def __str__(self) -> str:
        return f"{self.question} {self.answer}. {self.sentence}"


@dataclass(frozen=True)
class MetricFinding:
    """One metric that is heard: whether it finds the fault, and in what share of the images where it can say that."""

    metric: str
    result: MetricResult
    has_fault: bool
    share: float | None

    def __str__(self) -> str:
        return f"{display_name(self.metric)} {_format_result(self.result)} where real images get {_format_number(self.result.null)}"


def compute_verdicts(results: Mapping[str, MetricResult]) -> tuple[Verdict, ...]:
    """The three verdicts on what was measured; none where nothing was that speaks of generated images."""
    ways: dict[str, dict[str, MetricResult]] = {}
    for name, found in results.items():
        metric, ending = split_direction(name)
        ways.setdefault(ending, {})[metric] = found
    known = metrics_of_verdict("per_image", "distribution", "memorization", "support_size", "modes").keys()
    told = [
        _answer_questions(found, DIRECTION_PREFIX[ending]) for ending, found in ways.items() if known & found.keys()
    ]
    return tuple(max(answers, key=_answer_rank) for answers in zip(*told, strict=True))


def _answer_rank(verdict: Verdict) -> int:
    return BEST_FIRST[verdict.question].index(verdict.answer)


def _answer_questions(results: Mapping[str, MetricResult], prefix: str) -> tuple[Verdict, Verdict, Verdict]:
    alike, why_alike = _answer_alike(results)
    real, why_real = _answer_real(results, per_image_only=alike == "yes")
    copied, why_copied = _answer_copied(results)
    pairs = "closest_pairs" if "support" in results else "samples"
    return (
        Verdict(REAL, real, prefix + why_real + _human_note(results), "samples"),
        Verdict(COPIED, copied, prefix + why_copied, "nearest_neighbours"),
        Verdict(ALIKE, alike, prefix + why_alike, pairs),
    )


def _answer_real(results: Mapping[str, MetricResult], *, per_image_only: bool) -> tuple[VerdictAnswer, str]:
    asked = metrics_of_verdict("per_image") if per_image_only else metrics_of_verdict("per_image", "distribution")
    heard = _usable_metrics(results, asked)
    finding = [witness for witness in heard if witness.has_fault]
    if not heard:
        return "cannot tell", _why_unknown(results, asked)
    if not finding:
        return "yes", f"{_count_text([], heard)} told them from real images: {_cite_findings(heard)}."
    said = f"{_count_text(finding, heard)} told them from real images: {_cite_findings(finding)}."
    scaled = any(witness.share is not None for witness in heard)
    return ("nearly" if scaled and _max_fault_share(finding) <= NEARLY_REAL_MAX else "no"), said


def _answer_copied(results: Mapping[str, MetricResult]) -> tuple[VerdictAnswer, str]:
    asked = metrics_of_verdict("memorization")
    heard = _usable_metrics(results, asked)
    finding = [witness for witness in heard if witness.has_fault]
    if not heard:
        return "cannot tell", _why_unknown(results, asked) + _membership_note(results)
    if not finding:
        return "no", f"{_count_text([], heard)} found copies: {_cite_findings(heard)}.{_membership_note(results)}"
    said = f"{_count_text(finding, heard)} found copies: {_cite_findings(finding)}.{_membership_note(results)}"
    shares = [witness.share for witness in finding if witness.share is not None]
    return ("partly" if shares and max(shares) < COPIED_MIN else "yes"), said


def _answer_alike(results: Mapping[str, MetricResult]) -> tuple[VerdictAnswer, str]:
    different = _usable_metrics(results, metrics_of_verdict("support_size"))
    kinds = _usable_metrics(results, metrics_of_verdict("modes"))
    fewer, missing = ([witness for witness in heard if witness.has_fault] for heard in (different, kinds))
    if not different and not kinds:
        return "cannot tell", _why_unknown(results, metrics_of_verdict("support_size", "modes"))
    if fewer:
        few = f"{_count_text(fewer, different)} found fewer different images than among real ones: {_cite_findings(fewer)}."
        return ("yes" if _max_fault_share(fewer) > ALIKE_MIN else "partly"), few
    if missing:
        return "partly", f"{_count_text(missing, kinds)} missed kinds of real images: {_cite_findings(missing)}."
    heard = different + kinds
    return "no", f"{_count_text([], heard)} found less variety than among real images: {_cite_findings(heard)}."


def _usable_metrics(results: Mapping[str, MetricResult], metrics: Mapping[str, Metric]) -> list[MetricFinding]:
    """What those of `metrics` find that have a value, a baseline and no failed control."""
    return [
        MetricFinding(name, found, _is_shifted(found, metric), _fault_share(found, metric))
        for name, metric in metrics.items()
        if (found := results.get(name)) and found.value is not None and found.null is not None
        if found.failed_control is None
    ]


def _is_shifted(result: MetricResult, metric: Metric) -> bool:
    """Whether the interval of the value lies wholly on the worse side of that of real images."""
    low, high = _bounds(result.value, result.low, result.high, bool(result.detail.get("more_than")))
    real = result.detail.get("null", {})
    real_low, real_high = _bounds(result.null, real.get("low"), real.get("high"), bool(real.get("more_than")))
    return low > real_high if metric.better == "lower" else high < real_low


def _bounds(value: float | None, low: float | None, high: float | None, more_than: bool) -> tuple[float, float]:
    point = float(value or 0.0)
    return (point if low is None else low), (math.inf if more_than else point if high is None else high)


def _fault_share(result: MetricResult, metric: Metric) -> float | None:
    """The share of the images that is at fault."""
    share_of = metric.verdict[1]
    return share_of(float(result.value or 0.0), float(result.null or 0.0)) if share_of else None


def _max_fault_share(findings: Sequence[MetricFinding]) -> float:
    """The largest share at fault that any of them sees."""
    return max((witness.share for witness in findings if witness.share is not None), default=0.0)


def _cite_findings(findings: Sequence[MetricFinding]) -> str:
    """The numbers of those who find most; where nobody finds anything, of the first."""
    worst = sorted(findings, key=lambda witness: (witness.share or 0.0) if witness.has_fault else 0.0, reverse=True)
    return ", ".join(str(witness) for witness in worst[:MAX_CITED])


def _count_text(faulty: Sequence[MetricFinding], usable: Sequence[MetricFinding]) -> str:
    return f"{len(faulty) or 'None'} of {len(usable)} metric{'s' if len(usable) > 1 else ''}"


def _why_unknown(results: Mapping[str, MetricResult], metrics: Mapping[str, Metric]) -> str:
    """Why nothing was heard."""
    there = [(display_name(metric), results[metric]) for metric in metrics if metric in results]
    doubted = [
        f"{name} failed its control: {measure.failed_control}" for name, measure in there if measure.failed_control
    ]
    absent = [f"{name}: {measure.detail.get('reason', 'no value')}" for name, measure in there if measure.value is None]
    reasons = [*doubted, *absent]
    return f"{reasons[0].capitalize()}." if reasons else "No metric that could tell was measured."


def _membership_note(results: Mapping[str, MetricResult]) -> str:
    """What the discriminator gives away, where that is more than chance."""
    known = results.get("membership_auc", MetricResult())
    if known.value is None or known.low is None or known.low <= 0.5 or known.failed_control:
        return ""
    return f" Its discriminator knows the training images: membership auc {_format_result(known)} where chance is 0.5."


def _human_note(results: Mapping[str, MetricResult]) -> str:
    """What people said, where any were asked."""
    said = {asked: results[metric] for metric, asked in HUMAN_METRICS.items() if metric in results}
    return "".join(
        f" People{asked}: {_error_rate_text(found)}." for asked, found in said.items() if found.value is not None
    )


def _error_rate_text(result: MetricResult) -> str:
    ends = " to ".join(f"{100 * end:.0f}" for end in (result.low, result.high) if end is not None)
    return f"{100 * float(result.value or 0.0):.0f} % wrong ({ends}): {_interpret_error_rate(result)}"


def _interpret_error_rate(result: MetricResult) -> str:
    """What an error rate, with its interval, says of those who erred; 50 % is chance."""
    if result.detail.get("equivalent"):
        return "they cannot tell them apart"
    if result.high is not None and result.high < COPIED_MIN:
        return "they tell them apart"
    if result.low is not None and result.low > COPIED_MIN:
        return "they take the generated ones for real more often than the real ones"
    return "too few answers to say"


def _format_result(result: MetricResult) -> str:
    more = "more than " if result.detail.get("more_than") else ""
    ends = (
        ""
        if result.low is None or result.high is None
        else f" [{_format_number(result.low)}, {_format_number(result.high)}]"
    )
    return f"{more}{_format_number(result.value)}{ends}"


def _format_number(value: float | None) -> str:
    return format_number(value).replace(MINUS, "-")
