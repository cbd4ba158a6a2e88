"""Three verdicts on a generator: are its images realistic, original, diverse? docs/metrics.md has size and power.

Each metric gives a p-value against what real images get in the place of the generated ones. "no": after Holm's
correction over the metrics of the question one of them is below 5 %. "yes": none is, and each named fault would have
been found with a power of 90 % in a tenth of the images. Else "cannot tell". Metrics without a value or with a failed
control are ignored; `membership_auc` and ratings are cited and decide nothing. A translator gets the worse answer of
its two directions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor

from genlib.evaluation.faults import FAULTS, SHARES
from genlib.formatting import MINUS, display_name, format_number
from genlib.metrics.registry import (
    DIVERSE,
    ORIGINAL,
    REALISTIC,
    VERDICT_QUESTIONS,
    Metric,
    Question,
    metrics_of_question,
    split_direction,
)
from genlib.metrics.result import MetricResult
from genlib.metrics.stats.significance import holm, share_found

VerdictAnswer = Literal["yes", "cannot tell", "no"]
BEST_FIRST: tuple[VerdictAnswer, ...] = ("yes", "cannot tell", "no")
LEVEL = 0.05  # chance of a wrong "no" to a question
POWER, MARGIN = 0.9, 0.1  # of a "yes": a fault in this share of the images would have been found so often
MIN_METRICS = 3  # heard for a "yes"
FIGURES = {REALISTIC: "samples", ORIGINAL: "nearest_neighbours", DIVERSE: "samples"}
FINDINGS = {
    REALISTIC: "found a difference from real images",
    ORIGINAL: "found copies",
    DIVERSE: "found less variety than among real images",
}
HUMAN_METRICS = {"human_error_rate": "", "human_choice_error": ", asked side by side"}  # how they were asked
DIRECTION_PREFIX = {"": "", "_a2b": "From A to B: ", "_b2a": "From B to A: "}
CHANCE = 0.5  # error rate of a guess between two answers
MAX_CITED = 2

PlantedFaults = Mapping[str, Mapping[str, Tensor]]  # fault -> metric -> p-values [shares, replicates]


@dataclass(frozen=True)
class Verdict:
    """`share`: of the images at fault, its interval, where the deciding metric has such a scale; `detectable`: of each
    named fault, the smallest share of images that would have been found with a power of 90 %, None where not even the
    largest tried would; `p`: the smallest after Holm's correction; `figure`: the name of the one that shows it."""

    question: str
    answer: VerdictAnswer
    share: tuple[float, float] | None
    detectable: Mapping[str, float | None] = field(default_factory=dict)
    p: float | None = None
    sentence: str = ""
    figure: str = ""

    @property
    def key(self) -> str:
        return self.question.removesuffix("?").lower()

    @property
    def is_good(self) -> bool:
        return self.answer == "yes"

    def __str__(self) -> str:
        return f"{self.question} {self.answer}. {self.sentence}"


class MetricFinding(NamedTuple):
    """A metric that is heard, with its p-value, and the share of the images at fault, where it has such a scale."""

    metric: str
    result: MetricResult
    p: float
    share: tuple[float, float] | None

    def __str__(self) -> str:
        value, null = _format_result(self.result), _format_number(self.result.null)
        return f"{display_name(self.metric)} {value} where real images get {null}"


def compute_verdicts(
    results: Mapping[str, MetricResult], planted: Mapping[str, PlantedFaults] | None = None
) -> tuple[Verdict, ...]:
    """The three verdicts; none where no metric of generated images was computed. `planted`: p-values of planted faults,
    by the suffix of the metrics' names, without which nothing is "yes"."""
    by_direction: dict[str, dict[str, MetricResult]] = {}
    for name, result in results.items():
        metric, suffix = split_direction(name)
        by_direction.setdefault(suffix, {})[metric] = result
    heard = {name for question in VERDICT_QUESTIONS for name in metrics_of_question(question)}
    answers = [
        _answer_questions(each, (planted or {}).get(suffix, {}), DIRECTION_PREFIX[suffix])
        for suffix, each in by_direction.items()
        if heard & each.keys()
    ]
    return tuple(
        max(verdicts, key=lambda verdict: BEST_FIRST.index(verdict.answer)) for verdicts in zip(*answers, strict=True)
    )


def _answer_questions(
    results: Mapping[str, MetricResult], planted: PlantedFaults, prefix: str
) -> tuple[Verdict, Verdict, Verdict]:
    notes = {REALISTIC: _human_note(results), ORIGINAL: _membership_note(results), DIVERSE: ""}
    realistic, original, diverse = (
        _answer(question, results, planted, prefix, note) for question, note in notes.items()
    )
    return realistic, original, diverse


def _answer(
    question: Question,
    results: Mapping[str, MetricResult],
    planted: PlantedFaults,
    prefix: str,
    note: str = "",
) -> Verdict:
    figure = "closest_pairs" if question == DIVERSE and "support" in results else FIGURES[question]
    findings = _heard_metrics(results, question)
    if not findings:
        return Verdict(question, "cannot tell", None, {}, None, prefix + _why_unknown(results, question) + note, figure)
    adjusted = holm({finding.metric: finding.p for finding in findings})
    lowest = min(adjusted.values())
    found = sorted((each for each in findings if adjusted[each.metric] <= LEVEL), key=lambda each: each.p)
    detectable = detectable_shares(planted, question, [finding.metric for finding in findings])
    if found:
        share = next((finding.share for finding in found if finding.share is not None), None)
        sentence = _cite(FINDINGS[question], found, len(findings), lowest) + _reach(detectable)
        return Verdict(question, "no", share, detectable, lowest, prefix + sentence + note, figure)
    best = sorted(findings, key=lambda each: each.p)
    sentence = _cite(FINDINGS[question], [], len(findings), lowest, best) + _reach(detectable)
    if len(findings) < MIN_METRICS:
        sentence += f" Too few metrics to say yes: {len(findings)}, expected {MIN_METRICS}."
    answer: VerdictAnswer = "yes" if _would_be_found(findings, detectable) else "cannot tell"
    return Verdict(question, answer, None, detectable, lowest, prefix + sentence + note, figure)


def _heard_metrics(results: Mapping[str, MetricResult], question: Question) -> list[MetricFinding]:
    """Those with a value, a p-value and no failed control."""
    findings = []
    for name, metric in metrics_of_question(question).items():
        result = results.get(name, MetricResult())
        if result.value is None or result.null is None or result.p is None or result.failed_control:
            continue
        findings.append(MetricFinding(name, result, result.p, _fault_share(metric, result)))
    return findings


def _fault_share(metric: Metric, result: MetricResult) -> tuple[float, float] | None:
    """The interval of the share of images at fault, within 0 and 1; None for a metric without such a scale."""
    if metric.fault_share is None or result.null is None:
        return None
    ends = [metric.fault_share(end, result.null) for end in result.bounds]
    if None in ends:
        return None
    low, high = sorted(min(1.0, max(0.0, cast(float, end))) for end in ends)
    return low, high


def detectable_shares(planted: PlantedFaults, question: Question, metrics: Sequence[str]) -> dict[str, float | None]:
    """Of each planted fault of `question`, the share that Holm's first step over `metrics` finds with power 0.9."""
    found = {}
    for fault, by_metric in planted.items():
        if FAULTS[fault] == question:
            found[fault] = share_found(SHARES, _power(by_metric, metrics), POWER)
    return found


def _power(by_metric: Mapping[str, Tensor], metrics: Sequence[str]) -> list[float]:
    """At each share, how often the smallest p-value is at most LEVEL over the number of metrics."""
    heard = [by_metric[name].nan_to_num(1.0) for name in metrics if name in by_metric]
    if not heard:
        return [0.0] * len(SHARES)
    power: list[float] = (torch.stack(heard).amin(0) <= LEVEL / len(metrics)).double().mean(1).tolist()
    return power


def _would_be_found(findings: Sequence[MetricFinding], detectable: Mapping[str, float | None]) -> bool:
    """Whether enough metrics are heard, and every named fault would have been found at the margin."""
    reached = [share is not None and share <= MARGIN for share in detectable.values()]
    return len(findings) >= MIN_METRICS and bool(reached) and all(reached)


def _reach(detectable: Mapping[str, float | None]) -> str:
    if not detectable:
        return " Which faults it would have found was not simulated."
    shares = ", ".join(f"{fault} {_format_share(share)}" for fault, share in detectable.items())
    return f" It would have found {shares}."


def _format_share(share: float | None) -> str:
    return "in no share of the images" if share is None else f"in {100 * share:.2g} % of the images"


def _cite(
    found: str, faulty: Sequence[MetricFinding], heard: int, p: float, others: Sequence[MetricFinding] = ()
) -> str:
    """How many of the metrics `found` the fault, and the numbers of the surest ones, or of those nearest to it."""
    count = f"{len(faulty) or 'None'} of {heard} metric{'s' if heard > 1 else ''}"
    cited = ", ".join(map(str, [*faulty, *others][:MAX_CITED]))
    return f"{count} {found} (p {format_p(p)}): {cited}."


def format_p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def _why_unknown(results: Mapping[str, MetricResult], question: Question) -> str:
    computed = [(display_name(name), results[name]) for name in metrics_of_question(question) if name in results]
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
