"""Functions that a search can try: they train nothing, and say what they did."""

import os
import time
from pathlib import Path

from genlib.tuning.trial import TrialReport

STEPS, STEP = 9, 100


class Curve:
    """(log10 lr + 2)^2 + 1 / step: best at lr = 0.01. What was begun, and from which step, is written to `log`; every
    step but the first takes `pause` seconds."""

    def __init__(self, log, pause=0.0, fails=None):
        self.log, self.pause, self.fails = log, pause, fails

    def __call__(self, knobs, folder):
        import math

        place = folder / "step"
        first = int(place.read_text()) if place.exists() else 0
        with Path(self.log).open("a") as file:
            file.write(f"{os.getpid()} {knobs['lr']!r} {first}\n")
        for step in range(first + 1, STEPS + 1):
            time.sleep(self.pause if step > first + 1 else 0)
            if self.fails:
                self.fails(knobs, step)
            place.write_text(str(step))
            loss = (math.log10(knobs["lr"]) + 2) ** 2 + 1 / step
            yield TrialReport(step * STEP, {"loss": loss, "spread": knobs.get("spread", 1.0) * step / STEPS})


def begun(log):
    """(pid, lr, first step) of every start."""
    lines = Path(log).read_text().splitlines() if Path(log).exists() else []
    return [(int(pid), float(lr), int(first)) for pid, lr, first in map(str.split, lines)]


class Raising:
    """Raises what a value of the knob `kind` names."""

    def __call__(self, knobs, step):
        from genlib.tuning.trial import TrialPruned

        if step == 4 and knobs["kind"] != "well":
            raise {
                "wrong": KeyError("x"),
                "infinite": ArithmeticError("loss"),
                "lost": TrialPruned("collapsed", "twins"),
            }[knobs["kind"]]
