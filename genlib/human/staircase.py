"""Exposures that follow a rater's answers up and down (HYPE-time; Zhou et al. 2019).

A wrong answer makes the next exposure 30 ms longer, a right one 10 ms shorter, so it settles where three answers of
four are right (the weighted up-down method; Kaernbach 1991).
"""

from collections.abc import Iterable
from statistics import fmean, multimode

FIRST_MS, MIN_MS, MAX_MS = 500, 100, 1000
STEP_UP_MS, STEP_DOWN_MS = 30, 10


def staircase(wrong: Iterable[bool]) -> list[int]:
    """Milliseconds of the first exposure and of the one after each answer."""
    exposures = [FIRST_MS]
    for is_wrong in wrong:
        step = STEP_UP_MS if is_wrong else -STEP_DOWN_MS
        exposures.append(min(MAX_MS, max(MIN_MS, exposures[-1] + step)))
    return exposures


def threshold_ms(wrong: Iterable[bool]) -> float:
    """The most common exposure of the answered images, the mean of those that are equally common."""
    return fmean(multimode(staircase(wrong)[:-1]))
