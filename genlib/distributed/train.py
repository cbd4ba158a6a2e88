"""Ray Train: many workers, one model. Workers yield to the driver; the driver alone writes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genlib.data.dataset import load_dataset
from genlib.distributed.session import quiet, session
from genlib.distributed.shard_reader import Remote
from genlib.errors import InputError, Lost
from genlib.training.fit import Job, fit
from genlib.training.loop import Diverged, Progress
from genlib.training.process_group import Group
from genlib.training.state import keep, newest

Hear = Callable[[Progress], None]
Say = Callable[[str], None]
RESTARTS = 3
RESIZE_EVERY = 60.0  # seconds between two looks whether there are more workers, or fewer, to be had


@dataclass(frozen=True)
class Outcome:
    """How a job ended: on how many workers, after how many images, with what last metrics."""

    workers: int
    images_seen: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class Begun:
    """Word of a group of workers that it has begun, and after how many images."""

    workers: int
    images_seen: int


class Ear:
    """Hears every report once: a group of workers that goes on for another tells again what was heard already."""

    def __init__(self, name: str, hear: Hear, say: Say) -> None:
        self.name, self.hear, self.say = name, hear, say
        self.last = Progress(-1, 0, {})
        self.failure: Diverged | InputError | None = None
        self.workers: int | None = None

    def __call__(self, told: Progress | Begun | Diverged | InputError) -> None:
        if isinstance(told, Exception):
            self.failure = told
        elif isinstance(told, Begun):
            if self.workers is not None:
                self.say(f"{self.name}: begun again with {told.workers} workers at {told.images_seen:,} images")
            self.workers = told.workers
        elif told.images_seen > self.last.images_seen:
            self.last = told
            self.hear(told)

    def outcome(self) -> Outcome:
        """How the job ended.

        Raises:
            KeyboardInterrupt: it was halted.
            Diverged: it ended in numbers that are not finite.
            InputError: its parts do not fit.
        """
        if self.failure:
            raise self.failure
        if not self.last.done:
            raise KeyboardInterrupt
        return Outcome(self.workers or 0, self.last.images_seen, dict(self.last.metrics))


def without_model(progress: Progress) -> Progress:
    """What leaves the process that trains."""
    return replace(progress, model=None)


def launch(
    job: Job,
    storage: str,
    name: str,
    hear: Hear,
    say: Say = print,
    look: Callable[[Progress], Progress] = without_model,
    halted: Callable[[], bool] = bool,
) -> Outcome:
    """Train `job` and call `hear` with every report, in order.

    `job.train.workers` = 0 is this process, and no Ray, whose import takes as long as torch's. Otherwise Ray Train
    gives that many workers, or as many as there is room for, and gradients are averaged over them; (1, 4) are at least
    one, and up to four as nodes come and go. A worker that dies is replaced, and its group goes on from the last
    checkpoint in `job.state`. `look` makes of every report, in the process that trains, what the driver is told.
    `storage`, a folder that every node sees or a URL (s3://...), is for Ray's own notes on the run. Once `halted`, the
    job writes a checkpoint at its next report and ends.

    Raises:
        KeyboardInterrupt: the job was halted before its end.
        Diverged: the loss stopped being finite.
        Lost: workers died again and again.
    """
    ear = Ear(name, hear, say)
    if job.train.workers == 0:
        _alone(job, ear, look, halted)
        return ear.outcome()
    with session() as cpus:
        import ray

        from genlib.distributed.driver_channel import desk

        workers = _room(job, cpus, lambda line: say(f"{name}: {line}"))
        dataset = ray.put(load_dataset(job.data).held(Remote.here))
        with desk(job.state, ear, halted) as between:
            facts = {"job": job, "look": look, "desk": between, "dataset": dataset}
            _run(_together, storage, name, workers, facts)
    return ear.outcome()


def _room(job: Job, cpus: int, say: Say) -> int | tuple[int, int]:
    """How many workers to ask for: each takes a GPU where there are any, or a CPU."""
    gpus = _gpus()
    there, what = (gpus, "GPUs") if gpus else (cpus, "CPUs")
    asked = job.train.workers
    if not isinstance(asked, int):
        return min(asked[0], there), asked[1]
    if asked > there:
        say(f"{asked} workers asked, {there} {what} there: {there} used")
    return min(asked, there)


def _gpus() -> int:
    import ray

    return int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]


def _run(
    work: Callable[[dict[str, Any]], None],
    storage: str,
    name: str,
    workers: int | tuple[int, int],
    facts: dict[str, Any],
) -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import LoggingConfig

    class Trainer(TorchTrainer):
        def _register_sigint_handler(self, controller: Any) -> None:
            """Leave Ctrl-C to who called: Ray's own handler ends the process, and not as one expects."""

    quiet()
    gpu = _gpus() > 0
    folder = f"{name}-{os.getpid()}"
    place = storage if "://" in storage else str(Path(storage).resolve())
    try:
        Trainer(
            work,
            train_loop_config=facts,
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpu else "gloo"),
            scaling_config=ScalingConfig(  # type: ignore[call-arg]
                num_workers=workers,  # type: ignore[arg-type]
                use_gpu=gpu,
                elastic_resize_monitor_interval_s=RESIZE_EVERY,
            ),
            run_config=RunConfig(
                name=folder,
                storage_path=place,
                failure_config=FailureConfig(max_failures=RESTARTS),
                logging_config=LoggingConfig(  # type: ignore[call-arg]
                    log_level="ERROR"
                ),
            ),
        ).fit()
    except WorkerGroupError as error:
        _explain(name, error)
    _forget(f"{place}/{folder}")


def _explain(name: str, error: Any) -> None:
    """Raise what workers raised themselves; where they died, say so.

    Raises:
        Lost: they died.
    """
    from ray.exceptions import RayTaskError

    first = next(iter(error.worker_failures.values()), error)
    if isinstance(first, RayTaskError):
        raise error
    reason = " ".join(str(first).split())[:200]
    raise Lost(f"{name}: its workers died {RESTARTS + 1} times, the last with {reason!r}") from error


def _forget(run: str) -> None:
    """Remove Ray's notes on a run that has ended."""
    if "://" not in run:
        shutil.rmtree(run, ignore_errors=True)
        return
    from fsspec.core import url_to_fs

    files, path = url_to_fs(run)
    files.rm(path, recursive=True)


def _alone(job: Job, tell: Ear, look: Callable[[Progress], Progress], halted: Callable[[], bool]) -> None:
    """Train in this process, with every processor where `OMP_NUM_THREADS` does not say how many."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(os.cpu_count() or 1)
    try:
        for progress in fit(job, halted=halted):
            tell(look(progress))
    except (Diverged, InputError) as error:
        tell(error)


def _together(facts: dict[str, Any]) -> None:
    """What every worker runs: train, and let rank 0 tell the driver and hand it the checkpoints."""
    import ray
    import torch

    desk, look, group = facts["desk"], facts["look"], Group.current()

    def tell(message: Any) -> None:
        if group.leads:
            ray.get(desk.tell.remote(message))

    torch.set_num_threads(_threads())
    with tempfile.TemporaryDirectory() as folder:
        state, begun, before = Path(folder), False, 0
        if found := ray.get(desk.newest.remote()):
            keep(state, *found)
        try:
            job, dataset = replace(facts["job"], state=state), ray.get(facts["dataset"])
            for progress in fit(job, dataset=dataset, halted=lambda: bool(ray.get(desk.halted.remote()))):
                if not (progress.resumed or begun):
                    tell(Begun(group.world, before))
                    begun = True
                before = progress.images_seen
                if progress.checkpoint and group.leads and (path := newest(state)):
                    ray.get(desk.keep.remote(path.name, path.read_bytes()))
                tell(look(progress))
        except (Diverged, InputError) as error:
            tell(error)


def _threads() -> int:
    """The CPUs of this node, shared by the workers that are on it."""
    import ray
    from ray.train import get_context

    here = ray.get_runtime_context().get_node_id()
    found = ray.nodes()  # type: ignore[no-untyped-call]
    cpus = next(node["Resources"].get("CPU", 1) for node in found if node["NodeID"] == here)
    return max(1, int(cpus) // int(get_context().get_local_world_size()))
