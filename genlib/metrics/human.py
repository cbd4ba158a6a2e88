"""Do people take the images for real?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

import torch

from genlib.data.batches import seeded_generator
from genlib.human.answers import Answer
from genlib.human.questions import QUESTION_FORMS
from genlib.human.raters import MIN_ANSWERS, usable_answers
from genlib.human.staircase import MAX_MS, MIN_MS, threshold_ms
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.intervals import Z, mean_interval

NUM_RESAMPLES = 4000
EQUIVALENCE_MARGIN = 0.05  # from 50 %, within which an error rate counts as chance
MIN_TIMED_ANSWERS = (
    80  # answers of a rater at a glance: 40 to come down from the first look to the shortest, and as many there
)
ASSUMED_RATER_STD = 0.08  # spread between raters: those of Stein et al. (2023) had 0.04 to 0.11
ANSWERS_FOR_5_POINTS = 384  # answers for an interval of +-5 points: 0.25 (1.96 / 0.05)^2


@metric(needs="ratings", better="real")
def human_error_rate(inputs: MetricInputs) -> MetricResult:
    """Share of real-or-fake answers that are wrong (HYPE-infinity; Zhou et al. 2019).

    50 % are images that people cannot tell from real ones, 0 % such as nobody takes for real; beyond 50 % fakes look
    more real than real ones. Interval: percentiles of a bootstrap over raters, and over the answers of each. Raters who
    failed over a quarter of the trials whose answer is plain to see are left out. `equivalent`: whether the 90 %
    interval lies within `margin` of 50 % (two one-sided tests at 5 %; Schuirmann 1987). Few raters speak for few.
    """
    return _error_rate(inputs, "one", "genlib rate MODEL_FOLDER")


@metric(needs="pair_ratings", better="real")
def human_choice_error(inputs: MetricInputs) -> MetricResult:
    """Share of pairs, a real image beside a generated one, of which people take the generated one for the real one.

    50 % are images that people cannot tell from real ones. Two images at once are easier to tell apart than one (the
    eye that errs in 31 % of single images errs in 24 % of pairs), so this is not `human_error_rate`; all else is alike.
    """
    return _error_rate(inputs, "two", "genlib rate MODEL_FOLDER --forced-choice")


@metric(needs="timed_ratings", better="higher")
def human_exposure(inputs: MetricInputs) -> MetricResult:
    """Milliseconds of a look after which people are right in three answers of four (HYPE-time; Zhou et al. 2019).

    Each rater's is the commonest exposure of a staircase from 500 ms, within 100 and 1000; the value is the mean over
    raters with at least STEPS answers, the interval Student's over them, none where there is but one. 1000 ms is what
    people cannot tell even then, 100 ms what they tell at once. Raters are left out as in `human_error_rate`.
    """
    asked, left_out = usable_answers(inputs.ratings, "timed")
    wrong = {rater: [a.is_wrong for a in asked if a.rater == rater] for rater in sorted({a.rater for a in asked})}
    by_rater = {rater: threshold_ms(each) for rater, each in wrong.items() if len(each) >= MIN_TIMED_ANSWERS}
    if not by_rater:
        most = max(map(len, wrong.values()), default=0)
        found = f"found {most} answers of one rater, needs at least {MIN_TIMED_ANSWERS}"
        raise UndefinedMetric(f"{found}: `genlib rate MODEL_FOLDER --timed` asks people")
    low, high = (None, None) if len(by_rater) == 1 else mean_interval(list(by_rater.values()))
    detail = {
        "raters": len(by_rater),
        "left_out": left_out,
        "unfinished": sorted(wrong.keys() - by_rater.keys()),
        "by_rater": by_rater,
    }
    n = sum(len(wrong[rater]) for rater in by_rater)
    return MetricResult(fmean(by_rater.values()), _clamp_exposure(low), _clamp_exposure(high), n=n, detail=detail)


def _clamp_exposure(exposure: float | None) -> float | None:
    return None if exposure is None else min(MAX_MS, max(MIN_MS, exposure))


def _error_rate(inputs: MetricInputs, form: str, command: str) -> MetricResult:
    """The share of wrong answers in one form."""
    asked, left_out = usable_answers(inputs.ratings, form)
    if len(asked) < MIN_ANSWERS:
        raise UndefinedMetric(f"found {len(asked)} answers, needs at least {MIN_ANSWERS}: `{command}` asks people")
    wrong, count = count_wrong(asked)
    rates = bootstrap_error_rates(wrong, count, inputs.seed)
    low, inner_low, inner_high, high = rates.quantile(torch.tensor([0.025, 0.05, 0.95, 0.975]).double()).tolist()
    by_kind = {kind: [a.is_wrong for a in asked if a.truth == kind] for kind in QUESTION_FORMS[form].answers}
    detail = {
        "raters": len(count),
        "left_out": left_out,
        "equivalent": inner_low >= 0.5 - EQUIVALENCE_MARGIN and inner_high <= 0.5 + EQUIVALENCE_MARGIN,
        "margin": EQUIVALENCE_MARGIN,
        "by_kind": {kind: sum(found) / len(found) for kind, found in by_kind.items() if found},
        "answers_for_5_points": ANSWERS_FOR_5_POINTS,
        "seconds": sorted(a.seconds for a in asked)[len(asked) // 2],
    }
    return MetricResult(float(wrong.sum() / count.sum()), low, high, n=len(asked), detail=detail)


def count_wrong(answers: Sequence[Answer]) -> tuple[torch.Tensor, torch.Tensor]:
    """How many answers of each rater are wrong, and how many there are, float64 [R]."""
    raters = sorted({answer.rater for answer in answers})
    by_rater = [[answer.is_wrong for answer in answers if answer.rater == rater] for rater in raters]
    wrong, count = torch.tensor([[sum(each), len(each)] for each in by_rater]).double().view(-1, 2).unbind(1)
    return wrong, count


def rater_std(wrong: torch.Tensor, count: torch.Tensor) -> float | None:
    """Standard deviation between raters' own error rates, by moments: the variance of the rates observed, less what
    chance in `count` answers gives of it. None of fewer raters than three."""
    if len(count) < 3:
        return None
    rates = wrong / count
    by_chance = (rates * (1 - rates) / (count - 1).clamp(min=1)).mean()
    return float((rates.var() - by_chance).clamp(min=0).sqrt())


def interval_half_width(raters: int, answers: int, std: float) -> float:
    """Of the 95 % interval of an error rate near 50 %: 1.96 sqrt((spread^2 + 1 / (4 answers)) / raters)."""
    return Z * math.sqrt((std**2 + 0.25 / answers) / raters)


def bootstrap_error_rates(wrong: torch.Tensor, count: torch.Tensor, seed: int) -> torch.Tensor:
    """DRAWS error rates, of raters drawn with replacement and of answers drawn with replacement from each, which is a
    binomial draw; a rater had `wrong` of `count` answers wrong, float64 [R]."""
    generator = seeded_generator(seed, "raters")
    drawn = torch.randint(len(count), (NUM_RESAMPLES, len(count)), generator=generator)
    again = torch.binomial(count[drawn], (wrong / count)[drawn], generator=generator)
    return again.sum(1) / count[drawn].sum(1)
