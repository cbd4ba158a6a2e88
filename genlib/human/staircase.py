"""How long a look is enough: exposures that follow a rater's answers up and down (HYPE-time; Zhou et al. 2019).

A wrong answer makes the next look 30 ms longer, a right one 10 ms shorter, so it settles where three answers of four
are right (the weighted up-down method; Kaernbach 1991).
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean, multimode

FIRST_MS, MIN_MS, MAX_MS = 500, 100, 1000  # ms
STEP_UP_MS, STEP_DOWN_MS = 30, 10


def staircase(wrong: Iterable[bool]) -> list[int]:
    """Milliseconds of the first look and of each after an answer, which was `wrong` or not."""
    found = [FIRST_MS]
    for missed in wrong:
        step = STEP_UP_MS if missed else -STEP_DOWN_MS
        found.append(min(MAX_MS, max(MIN_MS, found[-1] + step)))
    return found


def threshold_ms(wrong: Iterable[bool]) -> float:
    """The commonest exposure of the looks that were answered, the mean of those that are equally common; in ms."""
    return fmean(multimode(staircase(wrong)[:-1]))
