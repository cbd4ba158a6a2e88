"""How a game of two players stands, from what is reported of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

GANState = Literal["balanced", "D wins", "G wins", "collapsed"]
DIVERGED = "diverged (NaN)"  # what ended in numbers that are not finite: no report says so, since there is none
D_WINS_ACC, G_WINS_ACC = 0.97, 0.45  # D's accuracy from which it wins, and below which it does worse than a coin
COLLAPSE_RATE = 0.5  # duplicate rate above which a repertoire is gone
COLLAPSE_PATIENCE = 2  # reports in a row that must say so before a trial is given up
GRACE_FRACTION = 1 / 3  # of its images, before which none is


def gan_state(metrics: Mapping[str, float]) -> GANState | None:
    """What a report of two players says, the worst first; None where it is not of two players."""
    if metrics.get("duplicate_rate", 0.0) > COLLAPSE_RATE:
        return "collapsed"
    if "d_real" not in metrics or "d_fake" not in metrics:
        return None
    right = (metrics["d_real"] + metrics["d_fake"]) / 2
    return "D wins" if right > D_WINS_ACC else "G wins" if right < G_WINS_ACC else "balanced"


@dataclass
class CollapseStopper:
    """Whether to give a run of `images` up: a repertoire that is gone at PATIENCE reports in a row, after the GRACE in
    which averaged weights still make one grey image."""

    total_images: int
    num_collapsed_reports: int = 0

    def should_stop(self, images_seen: int, metrics: Mapping[str, float]) -> bool:
        late = images_seen >= GRACE_FRACTION * self.total_images
        self.num_collapsed_reports = self.num_collapsed_reports + 1 if late and gan_state(metrics) == "collapsed" else 0
        return self.num_collapsed_reports >= COLLAPSE_PATIENCE
