"""What bfloat16 costs in quality: the figures of models trained in it against those trained in float32.

The GAN and the VAE of params.yaml on the digits, over the same seeds in both; the judge, its data and its samples are
the same for all. A difference of means counts as none within its 95 % interval (Student's, of two samples with one
variance, and Bonferroni's over all figures at once); the row's ratio is the largest difference over its half-width.

Command: `python -m experiments.precision [--data PATH] [--state FOLDER] [--seeds N] [--images N]`.
Cost: nine minutes of two cores with `--images 16000`, half an hour with the default 64,000.
Expect: a ratio of 0.19 with `--images 16000`: no figure changes by more than its interval.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean, variance
from typing import Literal

from benchmarks.results import record
from experiments.common import FinishedRows, markdown_table, new_parser, open_data, open_state, train_to_end
from genlib.data.dataset import Dataset
from genlib.evaluation.evaluator import Evaluator
from genlib.metrics.registry import get_metric
from genlib.params import Params, load_params
from genlib.registry import load
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
    params = load_params()
    parser = new_parser(__doc__, "a prepared data set [that of params.yaml]")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=64_000, help="of training, each [64,000]")
    args = parser.parse_args()
    with open_state(args.state) as state:
        dataset = open_data(args.data, params.data.to_config(), state)
        rows = measure(params, dataset, state, args.seeds, args.images)
    widths = [row.half_width(len(rows)) for row in rows]
    print(format_table(rows, widths))
    largest = max(abs(row.change) / width for row, width in zip(rows, widths, strict=True))
    detail = {"seeds": args.seeds, "images": args.images, "figures": [vars(row) for row in rows]}
    name = "training: what bfloat16 changes / its interval over seeds"
    record(name, largest, 1.0, at_least=False, detail=detail)


def measure(params: Params, dataset: Dataset, state: Path, seeds: int, images: int) -> list[Row]:
    @cache
    def evaluator() -> Evaluator:
        return Evaluator.from_folder(train_model(build_job(params, "scorer", dataset), state / "scorer"), dataset)

    def figures(name: str, precision: Literal["float32", "bfloat16"], seed: int) -> list[float]:
        job = build_job(params, name, dataset)
        job = replace(job, train=replace(job.train, precision=precision, seed=seed, total_images=images))
        model = load(train_model(job, state / f"{name}-{precision}-{seed}-{images}"))
        inputs = evaluator().test_inputs(model, params.evaluate.samples, params.evaluate.seed)[""]
        found = [get_metric(figure)(inputs).value for figure in FIGURES]
        print(f"{name}, {precision}, seed {seed}: {dict(zip(FIGURES, found, strict=True))}", flush=True)
        return [float("nan") if value is None else value for value in found]

    finished, rows = FinishedRows(state), []
    for name in MODELS:
        values = [
            [
                finished.get(f"{name}, {precision}, seed {seed}, {images} images", figures, name, precision, seed)
                for precision in PRECISIONS
            ]
            for seed in range(seeds)
        ]
        for at, figure in enumerate(FIGURES):
            rows.append(Row(name, figure, *([seed[p][at] for seed in values] for p in range(len(PRECISIONS)))))
    return rows


def build_job(params: Params, name: str, dataset: Dataset) -> TrainingJob:
    section = params.models[name]
    return TrainingJob(name, section.model, section.objective, params.train_config(name), dataset)


def train_model(job: TrainingJob, folder: Path) -> Path:
    """The model's folder, after training in this process."""
    job = replace(job, checkpoint_dir=folder.with_name(f"{folder.name}-state"))
    train_to_end(job)
    save_model(job, folder)
    return folder


def format_table(rows: list[Row], widths: list[float]) -> str:
    columns = ("model", "figure", "float32", "bfloat16", "change", "half-width")
    cells = (
        (row.model, row.figure, spread(row.float32), spread(row.bfloat16), f"{row.change:+.3f}", f"{width:.3f}")
        for row, width in zip(rows, widths, strict=True)
    )
    return markdown_table(columns, cells, num_text_columns=2)


def spread(values: list[float]) -> str:
    """The mean, and between which values."""
    return f"{fmean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
