"""How many images a search spends until it holds a model as good as all three searches come to: random points in full,
with halving (ASHA), and a population (PBT).

`python -m experiments.search [--trials N] [--images N] [--seeds N]`; the classifier as `make repro` trains it; minutes
of two cores a seed. All search the default GAN's space on digits, within the default limits and with the same first
points, of which none is the default params. At every report of a trial the images that all trials have seen are
counted, and the least KID among the reports within the limits so far is kept. The quality asked for is the worst of
the three that the searches of a seed end with, so that all have a count; what each has after equal images stands in
the details.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.results import record
from experiments.halving import sought
from genlib.distributed.session import session
from genlib.tuning.search import search
from genlib.tuning.searchers import SearchConfig
from genlib.tuning.trial import Trial

SEARCHERS = ("random_no_pruning", "random", "pbt")
SHARES = (0.125, 0.25, 0.5, 1.0)  # of the images of all trials in full

Curve = list[tuple[int, float]]  # images that all trials have seen, and the least KID by then


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--images", type=int, default=16000, help="of a trial in full [16000]")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/train"))
    parser.add_argument("--data", type=Path, default=Path("data/prepared"))
    asked = parser.parse_args()
    found: dict[str, list[Curve]] = {name: [] for name in SEARCHERS}
    with session(), tempfile.TemporaryDirectory() as folder:
        for seed in range(asked.seeds):
            for name in SEARCHERS:
                place = Path(folder) / f"{name}-{seed}"
                run, plan = sought(asked.runs / "classifier", asked.data, place, asked.images, name)
                follow = Follow(replace(plan, num_trials=asked.trials, seed=seed))
                search(run, follow.plan, place / "search", follow)
                if math.isinf(ends(follow.curve)):
                    raise SystemExit(f"seed {seed}: {name}: no report within the limits, which more --images may mend")
                found[name].append(follow.curve)
                print(f"seed {seed}: {name} ends with {ends(follow.curve):.3f} for {follow.spent:,} images", flush=True)
    full = asked.trials * asked.images
    print(table(found, full))
    goals = [max(map(ends, curves)) for curves in zip(*found.values(), strict=True)]
    counts = {name: [until(*each) for each in zip(curves, goals, strict=True)] for name, curves in found.items()}
    for name in SEARCHERS[1:]:
        ratios = [ours / plain for ours, plain in zip(counts[name], counts["random_no_pruning"], strict=True)]
        detail = {"kid": goals, "images": counts, "least_kid": after(found, full), "trials": asked.trials}
        record(f"tuning: images until a KID that all reach, {name} / random_no_pruning", median(ratios), 1.0, at_least=False,
               detail=detail, rounds=ratios)  # fmt: skip


class Follow:
    """Hears of every report: how far the search has come by then."""

    def __init__(self, plan: SearchConfig) -> None:
        self.plan, self.curve = plan, Curve()
        self.seen: dict[int, int] = {}

    @property
    def spent(self) -> int:
        return sum(self.seen.values())

    def __call__(self, trial: Trial) -> None:
        self.seen[trial.number] = trial.images_seen
        kid, aim = trial.metrics.get(self.plan.search_objective.metric, math.inf), self.plan.search_objective
        within = not any(limit.violation(trial.metrics) for limit in aim.constraints)
        self.curve.append((self.spent, min(ends(self.curve), kid if within else math.inf)))


def ends(curve: Curve) -> float:
    return curve[-1][1] if curve else math.inf


def until(curve: Curve, goal: float) -> int:
    """The images by which the least KID was no more than `goal`."""
    return next(images for images, kid in curve if kid <= goal)


def at(curve: Curve, images: float) -> float:
    """The least KID by so many images."""
    return min((kid for seen, kid in curve if seen <= images), default=math.inf)


def after(found: dict[str, list[Curve]], full: int) -> dict[str, list[float | None]]:
    """The median over seeds of the least KID by each of SHARES; None where there was none yet."""
    return {
        name: [shown(median(at(curve, share * full) for curve in curves)) for share in SHARES]
        for name, curves in found.items()
    }


def shown(kid: float) -> float | None:
    return round(kid, 4) if math.isfinite(kid) else None


def table(found: dict[str, list[Curve]], full: int) -> str:
    """Markdown."""
    heads: Sequence[str] = [f"KID by {share * full:,.0f} images" for share in SHARES]
    lines = ["| search | " + " | ".join(heads) + " |", "|---|" + "--:|" * len(heads)]
    for name, kids in after(found, full).items():
        lines.append(f"| `{name}` | " + " | ".join("none" if kid is None else f"{kid:.3f}" for kid in kids) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
