"""Two workers of one thread against one worker of two, and what a checkpoint costs.

A DCGAN on 32 x 32 images in colour, one global batch of 128, runs of each kind in turn in one session of Ray; the first
tenth of each is not counted. `python -m benchmarks.workers [--rounds N] [--images N]`; the first ratio is of the
medians of images per second, and the share of the time that gradients take to be summed, waiting for the other worker
included, stands beside it. The second is the seconds that a checkpoint takes, of every 30.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.results import record
from benchmarks.streaming import write_noise_dataset
from genlib.data.dataset import load_dataset
from genlib.distributed.session import session
from genlib.distributed.train import train_distributed
from genlib.training.config import TrainConfig
from genlib.training.fit import build_objective, build_train_state
from genlib.training.job import TrainingJob
from genlib.training.loop import Progress, train
from genlib.training.process_group import ProcessGroup

REPORTS, EVERY = 10, 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=38_400)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        plan = TrainConfig(asked.images, 128, report_every=asked.images // REPORTS, checkpoint_every=asked.images)
        model = {"name": "dcgan", "latent": 64, "width": 32, "width_d": 32}
        job = TrainingJob(
            "dcgan",
            model,
            {"name": "adversarial"},
            plan,
            load_dataset(write_noise_dataset(place / "data", images=10_000)),
        )
        with session():
            found = [{workers: run_training(job, workers, place) for workers in (1, 2)} for _ in range(asked.rounds)]
        taken = median(time_checkpoint(job, place / "states") for _ in range(5))
    rates = {workers: [each[workers][0] for each in found] for workers in (1, 2)}
    detail = {
        "images_per_second": rates,
        "communication_share": round(median(each[2][1] for each in found), 3),
        "checkpoint_seconds": round(taken, 3),
        "model": "dcgan, width 32, 32 x 32 x 3",
    }
    speed = median(rates[2]) / median(rates[1])
    record("training: 2 workers of 1 thread / 1 worker of 2", speed, 1.0, at_least=True, detail=detail)
    record("training: a checkpoint's share of 30 s", taken / EVERY, 0.02, at_least=False, detail=detail)


def run_training(job: TrainingJob, workers: int, folder: Path) -> tuple[int, float]:
    """Images per second, and the share of the time in which gradients are summed."""
    told: list[tuple[float, Progress]] = []
    job = replace(job, train=replace(job.train, workers=workers))
    train_distributed(
        job,
        str(folder / "ray"),
        f"{workers} workers",
        lambda p: told.append((time.monotonic(), p)),
        postprocess=report_summing,
    )
    (began, first), (ended, last) = told[1], told[-1]
    shares = [progress.metrics["summing"] for _, progress in told[2:]]
    return round((last.images_seen - first.images_seen) / (ended - began)), sum(shares) / (ended - began)


def report_summing(progress: Progress) -> Progress:
    """In the worker: the report without its pictures, with the seconds of summing since the last one."""
    if not isinstance(ProcessGroup.all_reduce_, TimedMethod):
        ProcessGroup.all_reduce_ = TimedMethod(ProcessGroup.all_reduce_)  # type: ignore[method-assign, assignment]
    return replace(progress, metrics={"summing": ProcessGroup.all_reduce_.read()}, model=None, samples=None)  # type: ignore[attr-defined]


class TimedMethod:
    """A method that is timed."""

    def __init__(self, method: Any) -> None:
        self.method, self.seconds = method, 0.0

    def __get__(self, group: ProcessGroup | None, owner: type) -> Any:
        return self if group is None else lambda tensors: self(group, tensors)

    def __call__(self, group: ProcessGroup, tensors: Iterable[Tensor]) -> None:
        kept, began = list(tensors), time.perf_counter()
        self.method(group, kept)
        self.seconds += time.perf_counter() - began

    def read(self) -> float:
        """Seconds since the last reading."""
        seconds, self.seconds = self.seconds, 0.0
        return seconds


def time_checkpoint(job: TrainingJob, folder: Path) -> float:
    """Seconds that one checkpoint takes to be written, checksummed and synchronised to disk."""
    state = build_train_state(job, build_objective(job), (3, 32, 32), 0, 1, torch.device("cpu"))
    for _ in train(state, job.dataset.valid, replace(job.train, total_images=job.train.batch_size)):
        pass
    state.images_seen = time.monotonic_ns() // 10**6
    began = time.perf_counter()
    state.save(folder)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
