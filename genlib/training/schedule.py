"""Learning rates as a function of the fraction of the training images seen so far."""

import math
from typing import Literal

Schedule = Literal["constant", "linear", "cosine"]


def lr_factor(schedule: Schedule, progress: float, warmup_fraction: float = 0.0, decay_start: float = 0.0) -> float:
    """The factor of the learning rate at `progress` in [0, 1]: a linear rise until `warmup_fraction`, 1 until
    `decay_start`, then, with t the fraction of the rest: constant 1; linear 1 - t; cosine (1 + cos(pi t)) / 2."""
    if progress < warmup_fraction:
        return progress / warmup_fraction
    begin = max(warmup_fraction, decay_start)
    t = min(1.0, max(0.0, progress - begin) / (1 - begin))
    return {"constant": 1.0, "linear": 1 - t, "cosine": (1 + math.cos(math.pi * t)) / 2}[schedule]
