"""Do people take the images for real?"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from genlib.data.batches import seeded
from genlib.evaluation.evidence import Evidence
from genlib.evaluation.measure import Measure, Undefined
from genlib.evaluation.metric import metric
from genlib.evaluation.parts.answers import FORMS, Answer
from genlib.evaluation.parts.people import FEWEST, attentive

DRAWS = 4000
MARGIN = 0.05  # from 50 %, within which an error rate counts as chance
ENOUGH = 384  # answers for an interval of +-5 points: 0.25 (1.96 / 0.05)^2


@metric(needs="rated", better="real")
def human_error_rate(evidence: Evidence) -> Measure:
    """Share of real-or-fake answers that are wrong (HYPE-infinity; Zhou et al. 2019).

    50 % are images that people cannot tell from real ones, 0 % such as nobody takes for real; beyond 50 % fakes look
    more real than real ones. Interval: percentiles of a bootstrap over raters, and over the answers of each. Raters who
    failed over a quarter of the trials whose answer is plain to see are left out. `equivalent`: whether the 90 %
    interval lies within `margin` of 50 % (two one-sided tests at 5 %; Schuirmann 1987). Few raters speak for few.
    """
    return _error(evidence, "one", "genlib rate MODEL_FOLDER")


@metric(needs="compared", better="real")
def human_choice_error(evidence: Evidence) -> Measure:
    """Share of pairs, a real image beside a generated one, of which people take the generated one for the real one.

    50 % are images that people cannot tell from real ones. Two images at once are easier to tell apart than one (the
    eye that errs in 31 % of single images errs in 24 % of pairs), so this is not `human_error_rate`; all else is alike.
    """
    return _error(evidence, "two", "genlib rate MODEL_FOLDER --two")


def _error(evidence: Evidence, form: str, command: str) -> Measure:
    """The share of wrong answers in one form."""
    kept, left_out = attentive([answer for answer in evidence.ratings if answer.form == form])
    asked = [answer for answer in kept if not answer.catches]
    if len(asked) < FEWEST:
        raise Undefined(f"found {len(asked)} answers, needs at least {FEWEST}: `{command}` asks people")
    wrong, count = tallied(asked)
    rates = resampled(wrong, count, evidence.seed)
    low, inner_low, inner_high, high = rates.quantile(torch.tensor([0.025, 0.05, 0.95, 0.975]).double()).tolist()
    by_kind = {kind: [a.wrong for a in asked if a.truth == kind] for kind in FORMS[form]}
    detail = {
        "raters": len(count),
        "left_out": left_out,
        "equivalent": inner_low >= 0.5 - MARGIN and inner_high <= 0.5 + MARGIN,
        "margin": MARGIN,
        "by_kind": {kind: sum(found) / len(found) for kind, found in by_kind.items() if found},
        "answers_for_5_points": ENOUGH,
        "seconds": sorted(a.seconds for a in asked)[len(asked) // 2],
    }
    return Measure(float(wrong.sum() / count.sum()), low, high, n=len(asked), detail=detail)


def tallied(answers: Sequence[Answer]) -> tuple[torch.Tensor, torch.Tensor]:
    """How many answers of each rater are wrong, and how many there are, float64 [R]."""
    raters = sorted({answer.rater for answer in answers})
    by_rater = [[answer.wrong for answer in answers if answer.rater == rater] for rater in raters]
    return torch.tensor([[sum(wrong), len(wrong)] for wrong in by_rater]).double().unbind(1)


def resampled(wrong: torch.Tensor, count: torch.Tensor, seed: int) -> torch.Tensor:
    """DRAWS error rates, of raters drawn with replacement and of answers drawn with replacement from each, which is a
    binomial draw; a rater had `wrong` of `count` answers wrong, float64 [R]."""
    generator = seeded(seed, "raters")
    drawn = torch.randint(len(count), (DRAWS, len(count)), generator=generator)
    again = torch.binomial(count[drawn], (wrong / count)[drawn], generator=generator)
    return again.sum(1) / count[drawn].sum(1)
