"""Human evaluation: do people take generated images for real ones?"""

import math
from collections.abc import Sequence
from statistics import fmean

import torch
from torch import Tensor

from genlib.data.random import seeded_generator
from genlib.human.answers import Answer
from genlib.human.questions import QUESTION_FORMS
from genlib.human.raters import MIN_ANSWERS, usable_answers
from genlib.human.staircase import MAX_MS, MIN_MS, threshold_ms
from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.intervals import Z, mean_interval

NUM_RESAMPLES = 4000
EQUIVALENCE_MARGIN = 0.05  # from 50 %, within which an error rate counts as chance
MIN_TIMED_ANSWERS = 80  # of a rater: 40 from the first exposure down to the shortest, and 40 there
ASSUMED_RATER_STD = 0.08  # deviation between raters: those of Stein et al. (2023) had 0.04 to 0.11
ANSWERS_FOR_5_POINTS = 384  # answers for an interval of +-5 points: 0.25 (1.96 / 0.05)^2


@metric(question=("Realistic?", 10), needs="ratings", better="real", bounds=(0, 1))
def human_error_rate(inputs: MetricInputs) -> MetricResult:
    """Share of real-or-fake answers that are wrong (HYPE-infinity; Zhou et al. 2019)."""
    return _error_rate(inputs, "one", "genlib rate MODEL_FOLDER")


@metric(question=("Realistic?", 11), needs="pair_ratings", better="real", bounds=(0, 1))
def human_choice_error(inputs: MetricInputs) -> MetricResult:
    """Share of pairs of a real and a generated image in which people take the generated one for the real one."""
    return _error_rate(inputs, "two", "genlib rate MODEL_FOLDER --forced-choice")


@metric(question=("Realistic?", 12), needs="timed_ratings")
def human_exposure(inputs: MetricInputs) -> MetricResult:
    """Exposure in ms after which people are right in three answers of four (HYPE-time; Zhou et al. 2019)."""
    answers, left_out = usable_answers(inputs.ratings, "timed")
    wrong = _wrong_by_rater(answers)
    by_rater = {rater: threshold_ms(each) for rater, each in wrong.items() if len(each) >= MIN_TIMED_ANSWERS}
    if not by_rater:
        most = max(map(len, wrong.values()), default=0)
        found = f"found {most} answers of one rater, needs at least {MIN_TIMED_ANSWERS}"
        raise UndefinedMetric(f"{found}: `genlib rate MODEL_FOLDER --timed` asks people")
    ends = (None, None) if len(by_rater) == 1 else mean_interval(list(by_rater.values()))
    low, high = (None if end is None else min(MAX_MS, max(MIN_MS, end)) for end in ends)
    unfinished = sorted(wrong.keys() - by_rater.keys())
    detail = {"raters": len(by_rater), "left_out": left_out, "unfinished": unfinished, "by_rater": by_rater}
    return MetricResult(fmean(by_rater.values()), low, high, n=sum(len(wrong[r]) for r in by_rater), detail=detail)


def _wrong_by_rater(answers: Sequence[Answer]) -> dict[str, list[bool]]:
    raters = sorted({answer.rater for answer in answers})
    return {rater: [answer.is_wrong for answer in answers if answer.rater == rater] for rater in raters}


def _error_rate(inputs: MetricInputs, form: str, command: str) -> MetricResult:
    answers, left_out = usable_answers(inputs.ratings, form)
    if len(answers) < MIN_ANSWERS:
        raise UndefinedMetric(f"found {len(answers)} answers, needs at least {MIN_ANSWERS}: `{command}` asks people")
    wrong, count = count_wrong(answers)
    rates = bootstrap_error_rates(wrong, count, inputs.seed)
    low, inner_low, inner_high, high = rates.quantile(torch.tensor([0.025, 0.05, 0.95, 0.975]).double()).tolist()
    by_kind = {kind: [a.is_wrong for a in answers if a.truth == kind] for kind in QUESTION_FORMS[form].answers}
    detail = {
        "raters": len(count),
        "left_out": left_out,
        "equivalent": inner_low >= 0.5 - EQUIVALENCE_MARGIN and inner_high <= 0.5 + EQUIVALENCE_MARGIN,
        "margin": EQUIVALENCE_MARGIN,
        "by_kind": {kind: sum(found) / len(found) for kind, found in by_kind.items() if found},
        "answers_for_5_points": ANSWERS_FOR_5_POINTS,
        "seconds": sorted(a.seconds for a in answers)[len(answers) // 2],
    }
    return MetricResult(float(wrong.sum() / count.sum()), low, high, n=len(answers), detail=detail)


def count_wrong(answers: Sequence[Answer]) -> tuple[Tensor, Tensor]:
    """How many answers of each rater are wrong, and how many there are, float64 [R]."""
    counts = [[sum(wrong), len(wrong)] for wrong in _wrong_by_rater(answers).values()]
    wrong, count = torch.tensor(counts).double().view(-1, 2).unbind(1)
    return wrong, count


def rater_std(wrong: Tensor, count: Tensor) -> float | None:
    """Between raters' own error rates: their variance, less that of chance in `count` answers. None of fewer than
    three."""
    if len(count) < 3:
        return None
    rates = wrong / count
    by_chance = (rates * (1 - rates) / (count - 1).clamp(min=1)).mean()
    return float((rates.var() - by_chance).clamp(min=0).sqrt())


def interval_half_width(raters: int, answers: int, std: float) -> float:
    """Of the 95 % interval of an error rate near 50 %: 1.96 sqrt((std^2 + 1 / (4 answers)) / raters)."""
    return Z * math.sqrt((std**2 + 0.25 / answers) / raters)


def bootstrap_error_rates(wrong: Tensor, count: Tensor, seed: int) -> Tensor:
    """4,000 rates of raters drawn with replacement, and of answers of each, a binomial draw; both float64 [R]."""
    generator = seeded_generator(seed, "raters")
    drawn = torch.randint(len(count), (NUM_RESAMPLES, len(count)), generator=generator)
    again = torch.binomial(count[drawn], (wrong / count)[drawn], generator=generator)
    return again.sum(1) / count[drawn].sum(1)
