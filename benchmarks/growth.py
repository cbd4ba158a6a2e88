"""How the metrics' cost grows with n: seconds, and memory beyond the features, from 1,000 rows to 100,000.

`python -m benchmarks.growth [--rounds N] [--largest N]`. Each measurement in a process of its own, 64 features; the
exponent is the slope of a straight line through the logarithms of the three largest. The bounds are n^2 in time and n
in memory, with a tenth for the doubt of the fit; buffers whose size does not depend on n keep the second lower.
"""

from __future__ import annotations

import argparse
import math
from contextlib import ExitStack
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from benchmarks.alone import Alone, Done
from benchmarks.metrics import evidence_of, features
from benchmarks.results import record

if TYPE_CHECKING:
    from genlib.metrics.inputs import MetricInputs

ROWS, WIDTH, FITTED = (1_000, 3_000, 10_000, 30_000, 100_000), 64, 3
GROUPS = {
    "precision, recall, density, coverage": ("precision", "recall", "density", "coverage"),
    "kid": ("kid",),
    "frechet": ("frechet",),
    "support": ("support",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--largest", type=int, default=ROWS[-1])
    asked = parser.parse_args()
    sizes = [rows for rows in ROWS if rows <= asked.largest]
    for name, metrics in GROUPS.items():
        told(name, costs(metrics, sizes * asked.rounds))


def costs(metrics: tuple[str, ...], sizes: list[int]) -> dict[int, list[Done]]:
    """Each in a process that ends with it: evidence keeps what metrics share, so a second time would be shorter."""
    found: dict[int, list[Done]] = {rows: [] for rows in sizes}
    with ExitStack() as ends:
        processes = [(rows, Alone(prepared, computed, metrics, rows)) for rows in sizes]
        for _, process in processes:
            ends.enter_context(process)
        for rows, process in processes:
            found[rows].append(process())
    return found


def prepared(work: object, metrics: tuple[str, ...], rows: int) -> tuple[MetricInputs, tuple[str, ...]]:
    computed(evidence_of(*features(200, WIDTH)), metrics)
    return evidence_of(*features(rows, WIDTH)), metrics


def computed(evidence: MetricInputs, metrics: tuple[str, ...]) -> dict[str, float | None]:
    from genlib.metrics.registry import get_metric

    return {name: get_metric(name)(evidence).value for name in metrics}


def told(name: str, found: dict[int, list[Done]]) -> None:
    seconds = {rows: median(done.seconds for done in each) for rows, each in found.items()}
    mib = {rows: median(max(1, done.peak - done.before) for done in each) for rows, each in found.items()}
    detail: dict[str, Any] = {"features": WIDTH, "seconds": seconds, "MiB": mib}
    record(f"growth: {name}, exponent of time", slope(seconds), 2.1, at_least=False, detail=detail)
    record(f"growth: {name}, exponent of memory", slope(mib), 1.1, at_least=False, detail={})


def slope(costs: dict[int, float]) -> float:
    """d log cost / d log n by least squares."""
    points = [(math.log(rows), math.log(cost)) for rows, cost in costs.items()][-FITTED:]
    x, y = (fmean(each) for each in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


if __name__ == "__main__":
    main()
