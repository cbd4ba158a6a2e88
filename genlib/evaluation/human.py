"""Do people take the images for real?"""

from __future__ import annotations

import torch

from genlib.data.batches import seeded
from genlib.evaluation.evidence import Evidence
from genlib.evaluation.measure import Measure, Undefined
from genlib.evaluation.metric import metric
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
    interval lies within 5 points of 50 % (two one-sided tests at 5 %; Schuirmann 1987). Few raters speak for few.
    """
    kept, left_out = attentive([answer for answer in evidence.ratings if answer.form == "one"])
    asked = [answer for answer in kept if not answer.catches]
    if len(asked) < FEWEST:
        found = f"found {len(asked)} answers, needs at least {FEWEST}"
        raise Undefined(f"{found}: `genlib rate MODEL_FOLDER` asks people")
    raters = sorted({answer.rater for answer in asked})
    wrong = torch.tensor([sum(a.wrong for a in asked if a.rater == rater) for rater in raters]).double()
    count = torch.tensor([sum(a.rater == rater for a in asked) for rater in raters]).double()
    rates = resampled(wrong, count, evidence.seed)
    low, inner_low, inner_high, high = rates.quantile(torch.tensor([0.025, 0.05, 0.95, 0.975]).double()).tolist()
    by_kind = {kind: [a.wrong for a in asked if a.truth == kind] for kind in ("real", "fake")}
    detail = {
        "raters": len(raters),
        "left_out": left_out,
        "equivalent": inner_low >= 0.5 - MARGIN and inner_high <= 0.5 + MARGIN,
        "by_kind": {kind: sum(found) / len(found) for kind, found in by_kind.items() if found},
        "answers_for_5_points": ENOUGH,
        "seconds": sorted(a.seconds for a in asked)[len(asked) // 2],
    }
    return Measure(float(wrong.sum() / count.sum()), low, high, n=len(asked), detail=detail)


def resampled(wrong: torch.Tensor, count: torch.Tensor, seed: int) -> torch.Tensor:
    """DRAWS error rates, of raters drawn with replacement and of answers drawn with replacement from each, which is a
    binomial draw; a rater had `wrong` of `count` answers wrong, float64 [R]."""
    generator = seeded(seed, "raters")
    drawn = torch.randint(len(count), (DRAWS, len(count)), generator=generator)
    again = torch.binomial(count[drawn], (wrong / count)[drawn], generator=generator)
    return again.sum(1) / count[drawn].sum(1)
