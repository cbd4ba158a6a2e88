"""What bfloat16 costs in quality: the figures of models trained in it against those trained in float32.

The GAN and the VAE of params.yaml on the digits, over the same seeds in both; the judge, its data and its samples are
the same for all. A difference of means counts as none within its 95 % interval (Student's, of two samples with one
variance, and Bonferroni's over all figures at once); the row's ratio is the largest difference over its half-width.
`python -m experiments.precision [--seeds N] [--images N]` prints the table, in Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, variance
from typing import Literal

from benchmarks.results import record
from genlib.data.dataset import load_dataset, prepare
from genlib.evaluation.evaluator import Evaluator
from genlib.metrics.registry import get_metric
from genlib.params import Params, load_params
from genlib.registry import load
from genlib.training.fit import fit
from genlib.training.job import TrainingJob, save_model

MODELS = ("gan", "vae")
FIGURES = ("kid", "frechet", "coverage")
PRECISIONS: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class Row:
    """One figure of one model, a value for each seed."""

    model: str
    figure: str
    float32: list[float]
    bfloat16: list[float]

    @property
    def change(self) -> float:
        return fmean(self.bfloat16) - fmean(self.float32)

    def half_width(self, comparisons: int) -> float:
        """t sqrt(2 s^2 / n) of the change, the confidence shared among so many comparisons."""
        from scipy.stats import t

        n = len(self.float32)
        pooled = (variance(self.float32) + variance(self.bfloat16)) / 2
        return float(t.ppf(1 - 0.025 / comparisons, 2 * n - 2)) * (2 * pooled / n) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=64_000, help="of training, each [64,000]")
    asked = parser.parse_args()
    params = load_params()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(params, Path(folder), asked.seeds, asked.images)
    widths = [row.half_width(len(rows)) for row in rows]
    print(table(rows, widths))
    largest = max(abs(row.change) / width for row, width in zip(rows, widths, strict=True))
    detail = {"seeds": asked.seeds, "images": asked.images, "figures": [vars(row) for row in rows]}
    name = "training: what bfloat16 changes / its interval over seeds"
    record(name, largest, 1.0, at_least=False, detail=detail)


def measure(params: Params, folder: Path, seeds: int, images: int) -> list[Row]:
    prepare(params.data.to_config(), folder / "data")
    dataset = load_dataset(folder / "data")
    bench = Evaluator.from_folder(trained(job(params, "scorer", folder), folder / "scorer"), dataset)

    def figures(name: str, precision: Literal["float32", "bfloat16"], seed: int) -> list[float]:
        one = job(params, name, folder)
        one = replace(one, train=replace(one.train, precision=precision, seed=seed, total_images=images))
        model = load(trained(one, folder / f"{name}-{precision}-{seed}"))
        evidence = bench.test_inputs(model, params.evaluate.samples, params.evaluate.seed)[""]
        found = [get_metric(figure)(evidence).value for figure in FIGURES]
        print(f"{name}, {precision}, seed {seed}: {dict(zip(FIGURES, found, strict=True))}", flush=True)
        return [float("nan") if value is None else value for value in found]

    rows = []
    for name in MODELS:
        values = [[figures(name, precision, seed) for precision in PRECISIONS] for seed in range(seeds)]
        for at, figure in enumerate(FIGURES):
            rows.append(Row(name, figure, *([seed[p][at] for seed in values] for p in range(len(PRECISIONS)))))
    return rows


def job(params: Params, name: str, folder: Path) -> TrainingJob:
    section = params.models[name]
    dataset = load_dataset(folder / "data")
    return TrainingJob(name, section.model, section.objective, params.train_config(name), dataset)


def trained(job: TrainingJob, folder: Path) -> Path:
    """The model's folder, after training in this process."""
    job = replace(job, checkpoint_dir=folder.with_name(f"{folder.name}-state"))
    for _ in fit(job):
        pass
    save_model(job, folder)
    return folder


def table(rows: list[Row], widths: list[float]) -> str:
    lines = [
        f"| {row.model} | {row.figure} | {spread(row.float32)} | {spread(row.bfloat16)} | "
        f"{row.change:+.3f} | {width:.3f} |"
        for row, width in zip(rows, widths, strict=True)
    ]
    head = "| model | figure | float32 | bfloat16 | change | half-width |\n|:--|:--|--:|--:|--:|--:|"
    return "\n".join([head, *lines])


def spread(values: list[float]) -> str:
    """The mean, and between which values."""
    return f"{fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
