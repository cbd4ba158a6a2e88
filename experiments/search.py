"""How many images a search spends until it holds a model as good as all three searches come to: random points in full,
with halving (ASHA), and a population (PBT).

All search the default GAN's space on digits, within the default limits and with the same first
points, of which none is the default params. At every report of a trial the images that all trials have seen are
counted, and the least KID among the reports within the limits so far is kept. The quality asked for is the worst of
the three that the searches of a seed end with, so that all have a count; what each has after equal images stands in
the details.

Command: `python -m experiments.search [--data PATH] [--state FOLDER] [--runs FOLDER] [--trials N] [--images N]
[--seeds N]`, after `make repro`, which trains the classifier.
Cost: minutes of two cores a seed.
Expect: the rows `tuning: images until a KID that all reach` of benchmarks/results.json; values differ with the seeds.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks.results import record
from experiments.common import FinishedRows, markdown_table, new_parser, open_state
from experiments.halving import build_search
from genlib.distributed.session import session
from genlib.tuning.search import search
from genlib.tuning.searchers import SearchConfig
from genlib.tuning.trial import Trial

SEARCHERS = ("random_no_pruning", "random", "pbt")
SHARES = (0.125, 0.25, 0.5, 1.0)  # of the images of all trials in full

Curve = list[tuple[int, float]]  # images that all trials have seen, and the least KID by then


def main() -> None:
    parser = new_parser(__doc__, "prepared data [data/prepared]", Path("data/prepared"))
    parser.add_argument("--trials", type=int, default=12)
    parser.add_argument("--images", type=int, default=16000, help="of a trial in full [16000]")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/train"))
    args = parser.parse_args()
    found: dict[str, list[Curve]] = {name: [] for name in SEARCHERS}
    with session(), open_state(args.state) as state:
        finished = FinishedRows(state)

        def follow_search(seed: int, name: str) -> Curve:
            folder = state / f"{name}-{seed}"
            trial, config = build_search(args.runs / "classifier", args.data, folder, args.images, name)
            follow = Follow(replace(config, num_trials=args.trials, seed=seed))
            search(trial, follow.config, folder / "search", follow)
            if math.isinf(least_kid(follow.curve)):
                raise SystemExit(f"seed {seed}: {name}: no report within the limits, which more --images may fix")
            return follow.curve

        for seed in range(args.seeds):
            for name in SEARCHERS:
                key = f"seed {seed}: {name}"
                curve = finished.get(f"{key}, {args.trials} x {args.images}", follow_search, seed, name)
                found[name].append(curve)
                print(f"{key} ends with {least_kid(curve):.3f} for {curve[-1][0]:,} images", flush=True)
    full = args.trials * args.images
    print(format_table(found, full))
    goals = [max(map(least_kid, curves)) for curves in zip(*found.values(), strict=True)]
    counts = {name: [until(*each) for each in zip(curves, goals, strict=True)] for name, curves in found.items()}
    for name in SEARCHERS[1:]:
        ratios = [ours / plain for ours, plain in zip(counts[name], counts["random_no_pruning"], strict=True)]
        detail = {"kid": goals, "images": counts, "least_kid": after(found, full), "trials": args.trials}
        title = f"tuning: images until a KID that all reach, {name} / random_no_pruning"
        record(title, median(ratios), 1.0, at_least=False, detail=detail, rounds=ratios)


class Follow:
    """The callback of every report: how far the search has come by then."""

    def __init__(self, config: SearchConfig) -> None:
        self.config, self.curve = config, Curve()
        self.seen: dict[int, int] = {}

    @property
    def spent(self) -> int:
        return sum(self.seen.values())

    def __call__(self, trial: Trial) -> None:
        self.seen[trial.number] = trial.images_seen
        kid, aim = trial.metrics.get(self.config.search_objective.metric, math.inf), self.config.search_objective
        within = not any(limit.violation(trial.metrics) for limit in aim.constraints)
        self.curve.append((self.spent, min(least_kid(self.curve), kid if within else math.inf)))


def least_kid(curve: Curve) -> float:
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
        name: [round_finite(median(at(curve, share * full) for curve in curves)) for share in SHARES]
        for name, curves in found.items()
    }


def round_finite(kid: float) -> float | None:
    return round(kid, 4) if math.isfinite(kid) else None


def format_table(found: dict[str, list[Curve]], full: int) -> str:
    columns = ["search", *(f"KID by {share * full:,.0f} images" for share in SHARES)]
    rows = (
        (f"`{name}`", *("none" if kid is None else f"{kid:.3f}" for kid in kids))
        for name, kids in after(found, full).items()
    )
    return markdown_table(columns, rows)


if __name__ == "__main__":
    main()
