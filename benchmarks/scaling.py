"""One model on 1, 2 and 4 workers of one thread each, the share of the time that their sums take, and what follows.

`python -m benchmarks.scaling [--rounds N] [--seconds S]`; the GAN on 32 x 32 images in colour, one global batch of 128.
The workers are plain processes with gloo between them, started once, so that what is measured is `train()` and its
`Group`; Ray's start is in `benchmarks.first_step`, and a whole job under Ray in `benchmarks.workers`. More workers than
cores share them.

`projected` puts a cost model beside the measurements: a step of N workers takes its arithmetic / N, and each turn's
all-reduce of B bytes a (N - 1) + 2 (N - 1) / N * B / b, as a ring does. a and b are measured here by bare all-reduces;
the model is held against the two workers that were measured, and then told what one assumes of GPUs. That last table
is a projection and was not measured.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.results import record
from benchmarks.streaming import write_noise_dataset
from benchmarks.workers import TimedMethod
from genlib.data.dataset import load_dataset
from genlib.training.config import TrainConfig
from genlib.training.fit import build_objective, build_train_state
from genlib.training.job import TrainingJob
from genlib.training.loop import train
from genlib.training.process_group import ProcessGroup

WORKERS, SHAPE, BATCH, REPORTS = (1, 2, 4), (3, 32, 32), 128, 10
SMALL_NUMEL, LARGE_NUMEL = 1 << 10, 1 << 22  # numbers in the bare all-reduces
GPUS = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Run:
    """Images a second, the share of the time in which gradients are summed, waiting included, and the seconds of bare
    all-reduces of SMALL and of LARGE float32 numbers."""

    rate: float
    share: float
    small: float
    large: float


@dataclass(frozen=True)
class CostModel:
    """What a step costs: seconds of its arithmetic on one worker, and between two workers seconds a message and bytes a
    second."""

    step: float
    latency: float
    bandwidth: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = write_noise_dataset(Path(folder) / "data", images=10_000)
        rounds, gradients = run_rounds(Path(folder), build_job(data), asked.rounds, asked.seconds)
    record_results(rounds, gradients)


def build_job(data: Path) -> TrainingJob:
    plan = TrainConfig(BATCH, BATCH, report_every=BATCH, checkpoint_every=BATCH, precision="float32")
    model = {"name": "gan", "latent": 64, "width": 32, "width_d": 32}
    return TrainingJob("gan", model, {"name": "adversarial"}, plan, load_dataset(data))


# --- the workers


def run_rounds(folder: Path, job: TrainingJob, rounds: int, seconds: float) -> tuple[list[dict[int, Run]], list[int]]:
    """A run of each number of workers, round by round, and the numbers in each turn's gradient."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for rank in range(max(WORKERS)):
        here, there = context.Pipe()
        processes.append(context.Process(target=serve_worker, args=(there, rank, job), daemon=True))
        processes[-1].start()
        pipes.append(here)

    def run(world: int, steps: int) -> Any:
        rendezvous = folder / f"meeting-{time.monotonic_ns()}"
        for pipe in pipes[:world]:
            pipe.send((world, steps, f"file://{rendezvous}"))
        answers = [pipe.recv() for pipe in pipes[:world]]
        return answers[0]

    first, gradients = run(1, REPORTS)
    steps = REPORTS * max(1, round(first.rate * seconds / BATCH / REPORTS))
    found = [{world: run(world, steps)[0] for world in WORKERS} for _ in range(rounds)]
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send(None)
        process.join()
    return found, gradients


def serve_worker(pipe: Any, rank: int, job: TrainingJob) -> None:
    """Train whenever the driver says with how many others and for how many steps."""
    torch.set_num_threads(1)
    dataset = job.dataset
    ProcessGroup.all_reduce_ = TimedMethod(ProcessGroup.all_reduce_)  # type: ignore[method-assign, assignment]
    while (asked := pipe.recv()) is not None:
        world, steps, address = asked
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=world)
        pipe.send(train_worker(job, dataset, steps))
        dist.destroy_process_group()


def train_worker(job: TrainingJob, dataset: Any, steps: int) -> tuple[Run, list[int]]:
    """This worker's run, its first tenth apart, and the numbers in each turn's gradient."""
    length = {"train.total_images": steps * BATCH, "train.report_every": steps * BATCH // REPORTS}
    job = job.with_overrides(length)
    state = build_train_state(job, build_objective(job), SHAPE, 0, 1, torch.device("cpu"))
    moments: list[tuple[float, float]] = []
    for _ in train(state, dataset.train, job.train, ProcessGroup.current()):
        moments.append((time.perf_counter(), ProcessGroup.all_reduce_.read()))  # type: ignore[attr-defined]
    spent, seen = moments[-1][0] - moments[0][0], steps * BATCH * (REPORTS - 1) // REPORTS
    summing = sum(seconds for _, seconds in moments[1:])
    gradients = [sum(p.numel() for p in turn.module.parameters()) for turn in state.phases]
    return Run(seen / spent, summing / spent, time_all_reduce(SMALL_NUMEL), time_all_reduce(LARGE_NUMEL)), gradients


def time_all_reduce(numbers: int, times: int = 10) -> float:
    """Seconds of an all-reduce of so many float32 numbers, everyone there from the beginning."""
    flat, found = torch.ones(numbers), []
    for _ in range(times):
        dist.barrier()
        began = time.perf_counter()
        dist.all_reduce(flat)
        found.append(time.perf_counter() - began)
    return median(found)


# --- what they say


def record_results(rounds: list[dict[int, Run]], gradients: list[int]) -> None:
    here = fit_cost_model(rounds)
    speeds = {world: [each[world].rate / each[1].rate for each in rounds] for world in WORKERS}
    shares = {world: [each[world].share for each in rounds] for world in WORKERS}
    predicted = [predict_step_s(here, world, gradients) for world in WORKERS[:2]]
    forecast = predicted[0] / predicted[1]
    detail: dict[str, Any] = {
        "model": "gan, width 32, 32 x 32 x 3, batch 128",
        "images_per_second": {world: [round(each[world].rate) for each in rounds] for world in WORKERS},
        "communication_share": {world: round(median(each), 3) for world, each in shares.items()},
        "gradient_bytes": [4 * numbers for numbers in gradients],
        "gloo": {"microseconds_a_message": round(1e6 * here.latency), "GB_per_second": round(here.bandwidth / 1e9, 2)},
        "projection": project_gpus(gradients),
    }
    record("scaling: 2 workers / 1, a thread each", median(speeds[2]), 1.6, at_least=True, detail=detail,
           rounds=speeds[2])  # fmt: skip
    record("scaling: 4 workers / 2, on the cores there are", median(speeds[4]) / median(speeds[2]), 0.8, at_least=True,
           detail={}, rounds=[f / t for f, t in zip(speeds[4], speeds[2], strict=True)])  # fmt: skip
    record("scaling: share of sums at 2 workers", median(shares[2]), 0.2, at_least=False, detail={}, rounds=shares[2])
    record("scaling: cost model / measured, speed of 2 workers", forecast / median(speeds[2]), 1.25, at_least=False,
           detail={"forecast": forecast})  # fmt: skip


def fit_cost_model(rounds: list[dict[int, Run]]) -> CostModel:
    """This machine, by one worker's steps and the bare all-reduces of two."""
    small, large = (median(getattr(each[2], size) for each in rounds) for size in ("small", "large"))
    bandwidth = 4 * (LARGE_NUMEL - SMALL_NUMEL) / (large - small)
    return CostModel(BATCH / median(each[1].rate for each in rounds), small, bandwidth)


def predict_step_s(machine: CostModel, workers: int, gradients: list[int]) -> float:
    """The cost model: arithmetic / N + sum over turns of a (N - 1) + 2 (N - 1) / N * bytes / b."""
    sent = [2 * (workers - 1) / workers * 4 * numbers / machine.bandwidth for numbers in gradients]
    return machine.step / workers + sum(machine.latency * (workers - 1) + each for each in sent)


ASSUMED_GPU = {
    "a step of 128 images on one GPU, seconds": 0.010,
    "its part that more GPUs do not shorten (launches), seconds": 0.004,
    "seconds a message": 10e-6,
    "bytes a second within a node of 8": 150e9,
    "bytes a second between nodes": 20e9,
}


def project_gpus(gradients: list[int]) -> dict[str, Any]:
    """A PROJECTION from `ASSUMED`, none of it measured: how many times faster N GPUs are than one, the global batch
    kept (128) and the batch of each GPU kept."""
    step, fixed, latency, near, far = ASSUMED_GPU.values()
    kept, grown = {}, {}
    for gpus in GPUS:
        machine = CostModel(0.0, latency, near if gpus <= 8 else far)
        sums = predict_step_s(machine, gpus, gradients)
        kept[gpus] = round(step / (fixed + (step - fixed) / gpus + sums), 2)
        grown[gpus] = round(gpus * step / (step + sums), 2)
    return {"assumed": ASSUMED_GPU, "speed_up_same_batch": kept, "speed_up_same_batch_a_gpu": grown}


if __name__ == "__main__":
    main()
