"""Three verdicts on a generator: does it look real, did it copy, are its images all alike?

A metric finds a fault where its interval lies wholly on the worse side of that of real images. Metrics without a value
or with a failed control are ignored; `membership_auc` and ratings are cited and decide nothing.

Copied?         "no" where no metric finds copies. "yes" where at least half of the images are copies, or where no
                metric that finds any says how many; else "partly".
All alike?      "no" where no metric finds missing modes. "yes" where `support` or `vendi` is below a fifth of its
                baseline; else "partly".
Real-looking?   "yes" where no metric finds a difference. "no" where more than a quarter of the images are at fault, or
                where only metrics without such a scale are usable; else "nearly". Where the images are all alike, only
                metrics of single images count: the others also penalise missing modes.

The share at fault is 1 - value / null for shares and effective numbers, value - null for `copies` and 2 value - 1 for
`c2st`; the other metrics have none. A translator gets the worse answer of its two directions.
"""

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
        """The question as an identifier."""
        return self.question.removesuffix("?").lower().replace("-", "_").replace(" ", "_")

    @property
    def is_good(self) -> bool:
        return self.answer == BEST_FIRST[self.question][1]

    def __str__(self) -> str:
        return f"{self.question} {self.answer}. {self.sentence}"


@dataclass(frozen=True)
class MetricFinding:
    """Whether a usable metric finds the fault, and in what share of the images, where it has such a scale."""

    metric: str
    result: MetricResult
    has_fault: bool
    share: float | None

    def __str__(self) -> str:
        value, null = _format_result(self.result), _format_number(self.result.null)
        return f"{display_name(self.metric)} {value} where real images get {null}"


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
    return tuple(max(verdicts, key=_answer_rank) for verdicts in zip(*answers, strict=True))


def _answer_rank(verdict: Verdict) -> int:
    return BEST_FIRST[verdict.question].index(verdict.answer)


def _answer_questions(results: Mapping[str, MetricResult], prefix: str) -> tuple[Verdict, Verdict, Verdict]:
    alike, why_alike = _answer_alike(results)
    real, why_real = _answer_real(results, per_image_only=alike == "yes")
    copied, why_copied = _answer_copied(results)
    pairs = "closest_pairs" if "support" in results else "samples"
    return (
        Verdict(REAL, real, prefix + why_real + _human_note(results), "samples"),
        Verdict(COPIED, copied, prefix + why_copied + _membership_note(results), "nearest_neighbours"),
        Verdict(ALIKE, alike, prefix + why_alike, pairs),
    )


def _answer_real(results: Mapping[str, MetricResult], *, per_image_only: bool) -> tuple[VerdictAnswer, str]:
    metrics = metrics_of_verdict("per_image") if per_image_only else metrics_of_verdict("per_image", "distribution")
    usable, faulty = _usable_metrics(results, metrics)
    if not usable:
        return "cannot tell", _why_unknown(results, metrics)
    sentence = _cite("found a difference from real images", faulty, usable)
    if not faulty:
        return "yes", sentence
    has_scale = any(finding.share is not None for finding in usable)
    return ("nearly" if has_scale and _max_fault_share(faulty) <= NEARLY_REAL_MAX else "no"), sentence


def _answer_copied(results: Mapping[str, MetricResult]) -> tuple[VerdictAnswer, str]:
    metrics = metrics_of_verdict("memorization")
    usable, faulty = _usable_metrics(results, metrics)
    if not usable:
        return "cannot tell", _why_unknown(results, metrics)
    sentence = _cite("found copies", faulty, usable)
    if not faulty:
        return "no", sentence
    shares = [finding.share for finding in faulty if finding.share is not None]
    return ("partly" if shares and max(shares) < COPIED_MIN else "yes"), sentence


def _answer_alike(results: Mapping[str, MetricResult]) -> tuple[VerdictAnswer, str]:
    sizes, fewer = _usable_metrics(results, metrics_of_verdict("support_size"))
    modes, missing = _usable_metrics(results, metrics_of_verdict("modes"))
    if not sizes and not modes:
        return "cannot tell", _why_unknown(results, metrics_of_verdict("support_size", "modes"))
    if fewer:
        sentence = _cite("found fewer different images than among real ones", fewer, sizes)
        return ("yes" if _max_fault_share(fewer) > ALIKE_MIN else "partly"), sentence
    if missing:
        return "partly", _cite("missed modes of the real images", missing, modes)
    return "no", _cite("found less variety than among real images", [], sizes + modes)


def _usable_metrics(
    results: Mapping[str, MetricResult], metrics: Mapping[str, Metric]
) -> tuple[list[MetricFinding], list[MetricFinding]]:
    """The findings of those `metrics` that have a value, a baseline and no failed control, and the faulty ones."""
    usable = [
        MetricFinding(name, found, _is_shifted(found, metric), _fault_share(found, metric))
        for name, metric in metrics.items()
        if (found := results.get(name)) and found.value is not None and found.null is not None
        if found.failed_control is None
    ]
    return usable, [finding for finding in usable if finding.has_fault]


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
    return max((finding.share for finding in findings if finding.share is not None), default=0.0)


def _cite(found: str, faulty: Sequence[MetricFinding], usable: Sequence[MetricFinding]) -> str:
    """How many metrics `found` the fault, and the numbers of the worst; where none did, of the first."""
    worst = sorted(faulty, key=lambda finding: finding.share or 0.0, reverse=True) or usable
    count = f"{len(faulty) or 'None'} of {len(usable)} metric{'s' if len(usable) > 1 else ''}"
    return f"{count} {found}: {', '.join(map(str, worst[:MAX_CITED]))}."


def _why_unknown(results: Mapping[str, MetricResult], metrics: Mapping[str, Metric]) -> str:
    computed = [(display_name(name), results[name]) for name in metrics if name in results]
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
    asked = {how: results[metric] for metric, how in HUMAN_METRICS.items() if metric in results}
    return "".join(
        f" People{how}: {_error_rate_text(found)}." for how, found in asked.items() if found.value is not None
    )


def _error_rate_text(result: MetricResult) -> str:
    ends = " to ".join(f"{100 * end:.0f}" for end in (result.low, result.high) if end is not None)
    return f"{100 * float(result.value or 0.0):.0f} % wrong ({ends}): {_interpret_error_rate(result)}"


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
    ends = (
        ""
        if result.low is None or result.high is None
        else f" [{_format_number(result.low)}, {_format_number(result.high)}]"
    )
    return f"{more}{_format_number(result.value)}{ends}"


def _format_number(value: float | None) -> str:
    return format_number(value).replace(MINUS, "-")
