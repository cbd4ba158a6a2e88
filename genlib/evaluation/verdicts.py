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

from genlib.formatting import MINUS, label, number
from genlib.metrics.questions import ALIKE, COPIED, REAL, way
from genlib.metrics.result import Measure

Answer = Literal["yes", "nearly", "partly", "no", "cannot tell"]
Side = Literal["lower", "higher"]  # than real images: what the fault does to the metric

SINGLY: dict[str, Side] = {"precision": "lower", "density": "lower"}
TOGETHER: dict[str, Side] = {"c2st": "higher", "inception_score": "lower", "frechet": "higher", "kid": "higher"}
COPIES: dict[str, Side] = {"copies": "higher", "authenticity": "lower", "copying": "lower", "fld_gap": "lower"}
DIFFERENT: dict[str, Side] = {"support": "lower", "vendi": "lower"}
KINDS: dict[str, Side] = {
    "coverage": "lower",
    "recall": "lower",
    "modes": "lower",
    "mode_kl": "higher",
    "ndb": "higher",
}
PEOPLE = {"human_error_rate": "", "human_choice_error": ", asked side by side"}  # how they were asked
SHARES = ("precision", "density", "inception_score", "authenticity", "support", "vendi", "coverage", "recall", "modes")

BEST_FIRST: dict[str, tuple[Answer, ...]] = {
    REAL: ("cannot tell", "yes", "nearly", "no"),
    COPIED: ("cannot tell", "no", "partly", "yes"),
    ALIKE: ("cannot tell", "no", "partly", "yes"),
}
FROM_TO = {"": "", "_a2b": "From A to B: ", "_b2a": "From B to A: "}
QUARTER, HALF, FOUR_FIFTHS = 0.25, 0.5, 0.8  # of the images, at fault
CITED = 2


@dataclass(frozen=True)
class Verdict:
    """`sentence` gives the numbers that decided; `figure` is the name of the one that shows it."""

    question: str
    answer: Answer
    sentence: str
    figure: str

    @property
    def key(self) -> str:
        """The question as a name of the code."""
        return self.question.removesuffix("?").lower().replace("-", "_").replace(" ", "_")

    @property
    def good(self) -> bool:
        return self.answer == BEST_FIRST[self.question][1]

    def __str__(self) -> str:
        return f"{self.question} {self.answer}. {self.sentence}"


@dataclass(frozen=True)
class Witness:
    """One metric that is heard: whether it finds the fault, and in what share of the images where it can say that."""

    metric: str
    measure: Measure
    finds: bool
    share: float | None

    def __str__(self) -> str:
        return f"{label(self.metric)} {_reading(self.measure)} where real images get {_said(self.measure.null)}"


def verdicts(measures: Mapping[str, Measure]) -> tuple[Verdict, ...]:
    """The three verdicts on what was measured; none where nothing was that speaks of generated images."""
    ways: dict[str, dict[str, Measure]] = {}
    for name, found in measures.items():
        metric, ending = way(name)
        ways.setdefault(ending, {})[metric] = found
    known = {*SINGLY, *TOGETHER, *COPIES, *DIFFERENT, *KINDS}
    told = [_told(found, FROM_TO[ending]) for ending, found in ways.items() if known & found.keys()]
    return tuple(max(answers, key=_badness) for answers in zip(*told, strict=True))


def _badness(verdict: Verdict) -> int:
    return BEST_FIRST[verdict.question].index(verdict.answer)


def _told(measures: Mapping[str, Measure], lead: str) -> tuple[Verdict, Verdict, Verdict]:
    alike, why_alike = _alike(measures)
    real, why_real = _real(measures, alone=alike == "yes")
    copied, why_copied = _copied(measures)
    pairs = "closest_pairs" if "support" in measures else "samples"
    return (
        Verdict(REAL, real, lead + why_real + _people(measures), "samples"),
        Verdict(COPIED, copied, lead + why_copied, "nearest_neighbours"),
        Verdict(ALIKE, alike, lead + why_alike, pairs),
    )


def _real(measures: Mapping[str, Measure], *, alone: bool) -> tuple[Answer, str]:
    asked = SINGLY if alone else SINGLY | TOGETHER
    heard = _heard(measures, asked)
    finding = [witness for witness in heard if witness.finds]
    if not heard:
        return "cannot tell", _silence(measures, asked)
    if not finding:
        return "yes", f"{_count([], heard)} told them from real images: {_cited(heard)}."
    said = f"{_count(finding, heard)} told them from real images: {_cited(finding)}."
    scaled = any(witness.share is not None for witness in heard)
    return ("nearly" if scaled and _most(finding) <= QUARTER else "no"), said


def _copied(measures: Mapping[str, Measure]) -> tuple[Answer, str]:
    heard = _heard(measures, COPIES)
    finding = [witness for witness in heard if witness.finds]
    if not heard:
        return "cannot tell", _silence(measures, COPIES) + _discriminator(measures)
    if not finding:
        return "no", f"{_count([], heard)} found copies: {_cited(heard)}.{_discriminator(measures)}"
    said = f"{_count(finding, heard)} found copies: {_cited(finding)}.{_discriminator(measures)}"
    shares = [witness.share for witness in finding if witness.share is not None]
    return ("partly" if shares and max(shares) < HALF else "yes"), said


def _alike(measures: Mapping[str, Measure]) -> tuple[Answer, str]:
    different, kinds = _heard(measures, DIFFERENT), _heard(measures, KINDS)
    fewer, missing = ([witness for witness in heard if witness.finds] for heard in (different, kinds))
    if not different and not kinds:
        return "cannot tell", _silence(measures, DIFFERENT | KINDS)
    if fewer:
        few = f"{_count(fewer, different)} found fewer different images than among real ones: {_cited(fewer)}."
        return ("yes" if _most(fewer) > FOUR_FIFTHS else "partly"), few
    if missing:
        return "partly", f"{_count(missing, kinds)} missed kinds of real images: {_cited(missing)}."
    heard = different + kinds
    return "no", f"{_count([], heard)} found less variety than among real images: {_cited(heard)}."


def _heard(measures: Mapping[str, Measure], sides: Mapping[str, Side]) -> list[Witness]:
    """The metrics that have something to say, in the order of `sides`."""
    found = {metric: measures[metric] for metric in sides if metric in measures}
    return [
        Witness(metric, measure, _apart(measure, sides[metric]), _share(metric, measure))
        for metric, measure in found.items()
        if measure.value is not None and measure.null is not None and measure.doubt is None
    ]


def _apart(measure: Measure, side: Side) -> bool:
    """Whether the interval of the value lies wholly on this side of that of real images."""
    low, high = _ends(measure.value, measure.low, measure.high, bool(measure.detail.get("more_than")))
    real = measure.detail.get("null", {})
    real_low, real_high = _ends(measure.null, real.get("low"), real.get("high"), bool(real.get("more_than")))
    return high < real_low if side == "lower" else low > real_high


def _ends(value: float | None, low: float | None, high: float | None, more_than: bool) -> tuple[float, float]:
    point = float(value or 0.0)
    return (point if low is None else low), (math.inf if more_than else point if high is None else high)


def _share(metric: str, measure: Measure) -> float | None:
    """The share of the images that is at fault."""
    value, null = float(measure.value or 0.0), float(measure.null or 0.0)
    if metric == "copies":
        return value - null
    if metric == "c2st":
        return 2 * value - 1
    return 1 - value / null if metric in SHARES and null > 0 else None


def _most(witnesses: Sequence[Witness]) -> float:
    """The largest share at fault that any of them sees."""
    return max((witness.share for witness in witnesses if witness.share is not None), default=0.0)


def _cited(witnesses: Sequence[Witness]) -> str:
    """The numbers of those who find most; where nobody finds anything, of the first."""
    worst = sorted(witnesses, key=lambda witness: (witness.share or 0.0) if witness.finds else 0.0, reverse=True)
    return ", ".join(str(witness) for witness in worst[:CITED])


def _count(finding: Sequence[Witness], heard: Sequence[Witness]) -> str:
    return f"{len(finding) or 'None'} of {len(heard)} metric{'s' if len(heard) > 1 else ''}"


def _silence(measures: Mapping[str, Measure], asked: Mapping[str, Side]) -> str:
    """Why nothing was heard."""
    there = [(label(metric), measures[metric]) for metric in asked if metric in measures]
    doubted = [f"{name} failed its control: {measure.doubt}" for name, measure in there if measure.doubt]
    absent = [f"{name}: {measure.detail.get('reason', 'no value')}" for name, measure in there if measure.value is None]
    reasons = [*doubted, *absent]
    return f"{reasons[0].capitalize()}." if reasons else "No metric that could tell was measured."


def _discriminator(measures: Mapping[str, Measure]) -> str:
    """What the discriminator gives away, where that is more than chance."""
    known = measures.get("membership_auc", Measure())
    if known.value is None or known.low is None or known.low <= 0.5 or known.doubt:
        return ""
    return f" Its discriminator knows the training images: membership auc {_reading(known)} where chance is 0.5."


def _people(measures: Mapping[str, Measure]) -> str:
    """What people said, where any were asked."""
    said = {asked: measures[metric] for metric, asked in PEOPLE.items() if metric in measures}
    return "".join(f" People{asked}: {_wrong(found)}." for asked, found in said.items() if found.value is not None)


def _wrong(found: Measure) -> str:
    ends = " to ".join(f"{100 * end:.0f}" for end in (found.low, found.high) if end is not None)
    return f"{100 * float(found.value or 0.0):.0f} % wrong ({ends}): {_meant(found)}"


def _meant(found: Measure) -> str:
    """What an error rate, with its interval, says of those who erred; 50 % is chance."""
    if found.detail.get("equivalent"):
        return "they cannot tell them apart"
    if found.high is not None and found.high < HALF:
        return "they tell them apart"
    if found.low is not None and found.low > HALF:
        return "they take the generated ones for real more often than the real ones"
    return "too few answers to say"


def _reading(measure: Measure) -> str:
    more = "more than " if measure.detail.get("more_than") else ""
    ends = "" if measure.low is None or measure.high is None else f" [{_said(measure.low)}, {_said(measure.high)}]"
    return f"{more}{_said(measure.value)}{ends}"


def _said(value: float | None) -> str:
    return number(value).replace(MINUS, "-")
