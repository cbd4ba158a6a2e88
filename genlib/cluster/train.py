"""Ray Train: many workers, one model. Workers yield to the driver; the driver alone writes."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genlib.cluster.session import quiet, session, settle
from genlib.fit import Job, fit
from genlib.training.group import Group
from genlib.training.loop import Diverged, Progress

Hear = Callable[[Progress], None]
RESTARTS = 3


@dataclass(frozen=True)
class Outcome:
    """How a job ended: on how many workers, after how many images, with what last metrics."""

    workers: int
    images_seen: int
    metrics: dict[str, float]


class Ear:
    """Hears every report once: a restarted group of workers tells again what the driver has heard already."""

    def __init__(self, hear: Hear) -> None:
        self.hear = hear
        self.last = Progress(-1, 0, {})
        self.failure: Diverged | None = None

    def __call__(self, told: Progress | Diverged) -> None:
        if isinstance(told, Diverged):
            self.failure = told
        elif told.images_seen > self.last.images_seen:
            self.last = told
            self.hear(told)

    def outcome(self, workers: int) -> Outcome:
        """How the job ended.

        Raises:
            Diverged: it ended in numbers that are not finite.
        """
        if self.failure:
            raise self.failure
        return Outcome(workers, self.last.images_seen, dict(self.last.metrics))


def without_model(progress: Progress) -> Progress:
    """What leaves the process that trains."""
    return replace(progress, model=None)


def launch(
    job: Job,
    storage: Path,
    name: str,
    hear: Hear,
    say: Callable[[str], None] = print,
    look: Callable[[Progress], Progress] = without_model,
) -> Outcome:
    """Train `job` under Ray Train and call `hear` with every report, in order.

    `job.train.workers` = 0 is Ray Train's local mode: this process, no other. Otherwise that many workers, or as many
    as there are CPUs, with gradients averaged over them. A worker that dies is replaced, and its group goes on from the
    last checkpoint in `job.state`. `look` makes of every report, in the process that trains, what the driver is told.

    Raises:
        Diverged: the loss stopped being finite.
    """
    ear = Ear(hear)
    if job.train.workers == 0:
        settle()
        _run(job, storage, name, 0, {"hear": ear, "look": look})
        return ear.outcome(0)
    with session() as cpus:
        workers = min(job.train.workers, cpus)
        if workers < job.train.workers:
            say(f"{name}: {job.train.workers} workers asked, {workers} CPUs there: {workers} used")
        with _line(ear) as queue:
            _run(job, storage, name, workers, {"queue": queue, "look": look})
    return ear.outcome(workers)


def _run(job: Job, storage: Path, name: str, workers: int, channel: dict[str, Any]) -> None:
    import torch
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer
    from ray.train.v2.api.config import LoggingConfig

    quiet()
    threads = max(1, (os.cpu_count() or 1) // max(1, workers))
    folder = f"{name}-{os.getpid()}"
    TorchTrainer(
        _work,
        train_loop_config={"job": job, "threads": threads, **channel},
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=torch.cuda.is_available()),
        run_config=RunConfig(
            name=folder,
            storage_path=str(storage.resolve()),
            failure_config=FailureConfig(max_failures=RESTARTS),
            logging_config=LoggingConfig(  # type: ignore[call-arg]
                log_level="ERROR"
            ),
        ),
    ).fit()
    shutil.rmtree(storage / folder, ignore_errors=True)


def _work(config: dict[str, Any]) -> None:
    """What every worker runs: train, and let rank 0 tell the driver."""
    import torch

    torch.set_num_threads(config["threads"])
    tell = config["hear"] if "hear" in config else config["queue"].put
    leads = Group.current().leads
    try:
        for progress in fit(config["job"]):
            if leads:
                tell(config["look"](progress))
    except Diverged as error:
        if leads:
            tell(error)


@contextmanager
def _line(hear: Hear) -> Any:
    """A queue from the workers, drained into `hear` by a thread of the driver."""
    from ray.util.queue import Empty, Queue

    queue = Queue(actor_options={"num_cpus": 0})
    ended = threading.Event()

    failures: list[Exception] = []

    def drain() -> None:
        while True:
            try:
                progress = queue.get(timeout=0.5)
            except Empty:
                if ended.is_set():
                    return
                continue
            try:
                hear(progress)
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=drain, daemon=True, name="ear")
    thread.start()
    try:
        yield queue
    finally:
        ended.set()
        thread.join()
        queue.shutdown()
    if failures:
        raise failures[0]
