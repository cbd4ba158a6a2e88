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

from benchmarks.alone import IsolatedWork, WorkResult
from benchmarks.metrics import make_features, make_inputs
from benchmarks.results import record

if TYPE_CHECKING:
    from genlib.metrics.inputs import MetricInputs

SIZES, WIDTH, NUM_FITTED = (1_000, 3_000, 10_000, 30_000, 100_000), 64, 3
METRIC_GROUPS = {
    "precision, recall, density, coverage": ("precision", "recall", "density", "coverage"),
    "kid": ("kid",),
    "frechet": ("frechet",),
    "support": ("support",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--largest", type=int, default=SIZES[-1])
    asked = parser.parse_args()
    sizes = [rows for rows in SIZES if rows <= asked.largest]
    for name, metrics in METRIC_GROUPS.items():
        record_slopes(name, measure_costs(metrics, sizes * asked.rounds))


def measure_costs(metrics: tuple[str, ...], sizes: list[int]) -> dict[int, list[WorkResult]]:
    """Each in a process that ends with it: evidence keeps what metrics share, so a second time would be shorter."""
    found: dict[int, list[WorkResult]] = {rows: [] for rows in sizes}
    with ExitStack() as ends:
        processes = [(rows, IsolatedWork(prepare_inputs, metric_values, metrics, rows)) for rows in sizes]
        for _, process in processes:
            ends.enter_context(process)
        for rows, process in processes:
            found[rows].append(process())
    return found


def prepare_inputs(work: object, metrics: tuple[str, ...], rows: int) -> tuple[MetricInputs, tuple[str, ...]]:
    metric_values(make_inputs(*make_features(200, WIDTH)), metrics)
    return make_inputs(*make_features(rows, WIDTH)), metrics


def metric_values(evidence: MetricInputs, metrics: tuple[str, ...]) -> dict[str, float | None]:
    from genlib.metrics.registry import get_metric

    return {name: get_metric(name)(evidence).value for name in metrics}


def record_slopes(name: str, found: dict[int, list[WorkResult]]) -> None:
    seconds = {rows: median(done.seconds for done in each) for rows, each in found.items()}
    mib = {rows: median(max(1, done.peak - done.before) for done in each) for rows, each in found.items()}
    detail: dict[str, Any] = {"features": WIDTH, "seconds": seconds, "MiB": mib}
    record(f"growth: {name}, exponent of time", fit_exponent(seconds), 2.1, at_least=False, detail=detail)
    record(f"growth: {name}, exponent of memory", fit_exponent(mib), 1.1, at_least=False, detail={})


def fit_exponent(costs: dict[int, float]) -> float:
    """d log cost / d log n by least squares."""
    points = [(math.log(rows), math.log(cost)) for rows, cost in costs.items()][-NUM_FITTED:]
    x, y = (fmean(each) for each in zip(*points, strict=True))
    return sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)


if __name__ == "__main__":
    main()
