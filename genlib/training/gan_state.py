"""The state of a GAN, from its reported metrics; without torch, since the page and the consoles read it too."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

GANState = Literal["balanced", "D wins", "G wins", "collapsed"]
DIVERGED = "diverged (NaN)"  # the state of a run that ended in a non-finite loss
D_WINS_ACC, G_WINS_ACC = 0.97, 0.45  # D's accuracy from which D wins, and below which G does (a coin has 0.5)
COLLAPSE_RATE = 0.5  # duplicate rate above which the generator has collapsed
COLLAPSE_PATIENCE = 2  # collapsed reports in a row that end a trial
GRACE_FRACTION = 1 / 3  # of its images, in which averaged weights still give one grey image


def gan_state(metrics: Mapping[str, float]) -> GANState | None:
    """The state that a report shows, the worst first; None for other models."""
    if metrics.get("duplicate_rate", 0.0) > COLLAPSE_RATE:
        return "collapsed"
    if "d_real" not in metrics or "d_fake" not in metrics:
        return None
    accuracy = (metrics["d_real"] + metrics["d_fake"]) / 2
    return "D wins" if accuracy > D_WINS_ACC else "G wins" if accuracy < G_WINS_ACC else "balanced"


@dataclass
class CollapseStopper:
    """Ends a run of `total_images` once `COLLAPSE_PATIENCE` reports in a row show a collapse, after the grace."""

    total_images: int
    num_collapsed_reports: int = 0

    def should_stop(self, images_seen: int, metrics: Mapping[str, float]) -> bool:
        collapsed = images_seen >= GRACE_FRACTION * self.total_images and gan_state(metrics) == "collapsed"
        self.num_collapsed_reports = self.num_collapsed_reports + 1 if collapsed else 0
        return self.num_collapsed_reports >= COLLAPSE_PATIENCE
