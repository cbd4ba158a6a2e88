"""What each metric costs and says: all of them for one model at 10,000 images of MNIST, AIS apart.

`python -m benchmarks.evaluation [--data FOLDER] [--runs FOLDER] [--model NAME] [--images N]`: prepared MNIST, and the
trained folders of both judges and of the model. The value, the null and the controls are timed apart. Where `valid`
holds fewer images than asked for, the last training images join it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.results import record
from genlib.data.dataset import load_dataset
from genlib.evaluation.controls import run_controls
from genlib.evaluation.evaluator import Evaluator, RealFeatures, applicable_metrics
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import IMAGE_NEEDS, get_metric, metric_names
from genlib.metrics.result import MetricResult
from genlib.registry import load

EXCLUDED = "ais"
BUDGET_S = 180
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """A metric, its values on the model's images and on real ones, and the seconds of value, null and controls."""

    name: str
    measure: MetricResult
    null: MetricResult | None
    seconds: tuple[float, float, float]

    @property
    def total(self) -> float:
        return sum(self.seconds)

    def __str__(self) -> str:
        times = " | ".join(f"{part:7.2f}" for part in (self.total, *self.seconds))
        null = "" if self.null is None else f"{self.null}"
        return f"| {self.name:18} | {times} | {self.measure} | {null} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("data/prepared"))
    parser.add_argument("--runs", type=Path, default=Path("runs/train"))
    parser.add_argument("--model", default="gan")
    parser.add_argument("--images", type=int, default=10_000)
    asked = parser.parse_args()
    evidence, looking = run_timed(lambda: load_inputs(asked.data, asked.runs, asked.model, asked.images))
    print(f"{asked.model}, n = {evidence.n}; images made, looked at and planted in {looking:.1f} s")
    print("| metric | seconds | value | null | controls | measured | real images |\n|:--|--:|--:|--:|--:|:--|:--|")
    began = time.process_time()
    rows = [measure_metric(name, evidence) for name in applicable_metrics(evidence, metric_names()) if name != EXCLUDED]
    processor, total = time.process_time() - began, sum(row.total for row in rows)
    rows.sort(key=lambda row: -row.total)
    print(*rows, sep="\n")
    detail: dict[str, Any] = {
        "model": asked.model,
        "n": evidence.n,
        "train": len(evidence.train),
        "threads": torch.get_num_threads(),
        "seconds": round(total, 1),
        "processor_seconds": round(processor, 1),
        "looking": round(looking, 1),
        "of": {row.name: round(row.total, 2) for row in rows},
    }
    record(
        "evaluation: all metrics of one model, AIS apart / 180 s", total / BUDGET_S, 1.0, at_least=False, detail=detail
    )


def load_inputs(data: Path, runs: Path, model: str, n: int) -> MetricInputs:
    dataset = load_dataset(data)
    second = extend_valid(Evaluator.from_folder(runs / "classifier", dataset), n)
    bench = extend_valid(Evaluator.from_folder(runs / "scorer", dataset, second_evaluator=second), n)
    return bench.test_inputs(load(runs / model), n, 0)[""]


def extend_valid(bench: Evaluator, n: int) -> Evaluator:
    """`bench` with as many training images moved to `valid` as that lacks of n."""
    train, valid = bench.real.train, bench.real.valid
    kept = len(train) - max(0, n - len(valid))
    return replace(bench, real=RealFeatures(train[:kept], concat_feature_sets(valid, train[kept:]), bench.real.test))


def concat_feature_sets(one: FeatureSet, other: FeatureSet) -> FeatureSet:
    both = one.images + other.images
    features = torch.cat([one.features, other.features])
    return FeatureSet(both.pixels, both.labels, features, torch.cat([one.probabilities, other.probabilities]))


def measure_metric(name: str, evidence: MetricInputs) -> Row:
    metric = get_metric(name)
    measure, value = run_timed(lambda: metric(evidence))
    if metric.needs not in IMAGE_NEEDS:
        return Row(name, measure, None, (value, 0.0, 0.0))
    null, again = run_timed(lambda: metric(evidence.with_real_samples()))
    controls, planted = run_timed(lambda: run_controls(metric, evidence, metric.must_detect))
    return Row(name, replace(measure, detail={**measure.detail, "controls": controls}), null, (value, again, planted))


def run_timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


if __name__ == "__main__":
    main()
