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
from genlib.distributed.session import session, silence_ray_loggers
from genlib.distributed.shard_reader import RemoteReader
from genlib.errors import InputError, WorkersLost, one_line
from genlib.training.fit import TrainingJob, fit
from genlib.training.loop import Progress, TrainingDiverged
from genlib.training.process_group import ProcessGroup
from genlib.training.state import latest_checkpoint, write_checkpoint

ProgressCallback = Callable[[Progress], None]
LogCallback = Callable[[str], None]
MAX_RESTARTS = 3
RESIZE_INTERVAL_S = 60.0  # seconds between two looks whether there are more workers, or fewer, to be had


@dataclass(frozen=True)
class TrainResult:
    """How a job ended: on how many workers, after how many images, with what last metrics."""

    num_workers: int
    images_seen: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class WorkersStarted:
    """Word of a group of workers that it has begun, and after how many images."""

    num_workers: int
    images_seen: int


class ProgressListener:
    """Hears every report once: a group of workers that goes on for another tells again what was heard already."""

    def __init__(self, name: str, on_progress: ProgressCallback, log: LogCallback) -> None:
        self.name, self.on_progress, self.log = name, on_progress, log
        self.last_progress = Progress(-1, 0, {})
        self.failure: TrainingDiverged | InputError | None = None
        self.num_workers: int | None = None

    def __call__(self, message: Progress | WorkersStarted | TrainingDiverged | InputError) -> None:
        if isinstance(message, Exception):
            self.failure = message
        elif isinstance(message, WorkersStarted):
            if self.num_workers is not None:
                self.log(
                    f"{self.name}: begun again with {message.num_workers} workers at {message.images_seen:,} images"
                )
            self.num_workers = message.num_workers
        elif message.images_seen > self.last_progress.images_seen:
            self.last_progress = message
            self.on_progress(message)

    def result(self) -> TrainResult:
        """How the job ended.

        Raises:
            KeyboardInterrupt: it was halted.
            Diverged: it ended in numbers that are not finite.
            InputError: its parts do not fit.
        """
        if self.failure:
            raise self.failure
        if not self.last_progress.is_done:
            raise KeyboardInterrupt
        return TrainResult(self.num_workers or 0, self.last_progress.images_seen, dict(self.last_progress.metrics))


def drop_model(progress: Progress) -> Progress:
    """What leaves the process that trains."""
    return replace(progress, model=None)


def train_distributed(
    job: TrainingJob,
    storage_path: str,
    name: str,
    on_progress: ProgressCallback,
    log: LogCallback = print,
    postprocess: Callable[[Progress], Progress] = drop_model,
    should_stop: Callable[[], bool] = bool,
) -> TrainResult:
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
    ear = ProgressListener(name, on_progress, log)
    if job.train.workers == 0:
        _train_in_process(job, ear, postprocess, should_stop)
        return ear.result()
    with session() as cpus:
        import ray

        from genlib.distributed.driver_channel import open_driver_channel

        workers = _resolve_num_workers(job, cpus, lambda line: log(f"{name}: {line}"))
        dataset = ray.put(load_dataset(job.data_dir).load_for_workers(RemoteReader.on_this_node))
        with open_driver_channel(job.checkpoint_dir, ear, should_stop) as between:
            facts = {"job": job, "look": postprocess, "desk": between, "dataset": dataset}
            _run_trainer(_train_worker, storage_path, name, workers, facts)
    return ear.result()


def _resolve_num_workers(job: TrainingJob, cpus: int, log: LogCallback) -> int | tuple[int, int]:
    """How many workers to ask for: each takes a GPU where there are any, or a CPU."""
    gpus = _num_gpus()
    there, what = (gpus, "GPUs") if gpus else (cpus, "CPUs")
    asked = job.train.workers
    if not isinstance(asked, int):
        return min(asked[0], there), asked[1]
    if asked > there:
        log(f"{asked} workers asked, {there} {what} there: {there} used")
    return min(asked, there)


def _num_gpus() -> int:
    import ray

    return int(ray.cluster_resources().get("GPU", 0))  # type: ignore[no-untyped-call]


def _run_trainer(
    train_loop: Callable[[dict[str, Any]], None],
    storage_path: str,
    name: str,
    num_workers: int | tuple[int, int],
    loop_config: dict[str, Any],
) -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import LoggingConfig

    class Trainer(TorchTrainer):
        def _register_sigint_handler(self, controller: Any) -> None:
            """Leave Ctrl-C to who called: Ray's own handler ends the process, and not as one expects."""

    silence_ray_loggers()
    gpu = _num_gpus() > 0
    folder = f"{name}-{os.getpid()}"
    place = storage_path if "://" in storage_path else str(Path(storage_path).resolve())
    try:
        Trainer(
            train_loop,
            train_loop_config=loop_config,
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if gpu else "gloo"),
            scaling_config=ScalingConfig(  # type: ignore[call-arg]
                num_workers=num_workers,  # type: ignore[arg-type]
                use_gpu=gpu,
                elastic_resize_monitor_interval_s=RESIZE_INTERVAL_S,
            ),
            run_config=RunConfig(
                name=folder,
                storage_path=place,
                failure_config=FailureConfig(max_failures=MAX_RESTARTS),
                logging_config=LoggingConfig(  # type: ignore[call-arg]
                    log_level="ERROR"
                ),
            ),
        ).fit()
    except WorkerGroupError as error:
        _raise_worker_failure(name, error)
    _delete_run_dir(f"{place}/{folder}")


def _raise_worker_failure(name: str, error: Any) -> None:
    """Raise what workers raised themselves; where they died, say so.

    Raises:
        Lost: they died.
    """
    from ray.exceptions import RayTaskError

    first = next(iter(error.worker_failures.values()), error)
    if isinstance(first, RayTaskError):
        raise error
    reason = one_line(first)
    raise WorkersLost(f"{name}: its workers died {MAX_RESTARTS + 1} times, the last with {reason!r}") from error


def _delete_run_dir(run_dir: str) -> None:
    """Remove Ray's notes on a run that has ended."""
    if "://" not in run_dir:
        shutil.rmtree(run_dir, ignore_errors=True)
        return
    from fsspec.core import url_to_fs

    files, path = url_to_fs(run_dir)
    files.rm(path, recursive=True)


def _train_in_process(
    job: TrainingJob,
    listener: ProgressListener,
    postprocess: Callable[[Progress], Progress],
    should_stop: Callable[[], bool],
) -> None:
    """Train in this process, with every processor where `OMP_NUM_THREADS` does not say how many."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(os.cpu_count() or 1)
    try:
        for progress in fit(job, should_stop=should_stop):
            listener(postprocess(progress))
    except (TrainingDiverged, InputError) as error:
        listener(error)


def _train_worker(loop_config: dict[str, Any]) -> None:
    """What every worker runs: train, and let rank 0 tell the driver and hand it the checkpoints."""
    import ray
    import torch

    desk, look, group = loop_config["desk"], loop_config["look"], ProcessGroup.current()

    def tell(message: Any) -> None:
        if group.is_main:
            ray.get(desk.send.remote(message))

    torch.set_num_threads(_num_threads())
    with tempfile.TemporaryDirectory() as folder:
        state, begun, before = Path(folder), False, 0
        if found := ray.get(desk.read_latest_checkpoint.remote()):
            write_checkpoint(state, *found)
        try:
            job, dataset = replace(loop_config["job"], checkpoint_dir=state), ray.get(loop_config["dataset"])
            for progress in fit(job, dataset=dataset, should_stop=lambda: bool(ray.get(desk.should_stop.remote()))):
                if not (progress.resumed or begun):
                    tell(WorkersStarted(group.world_size, before))
                    begun = True
                before = progress.images_seen
                if progress.checkpoint_due and group.is_main and (path := latest_checkpoint(state)):
                    ray.get(desk.write_checkpoint.remote(path.name, path.read_bytes()))
                tell(look(progress))
        except (TrainingDiverged, InputError) as error:
            tell(error)


def _num_threads() -> int:
    """The CPUs of this node, shared by the workers that are on it."""
    import ray
    from ray.train import get_context

    here = ray.get_runtime_context().get_node_id()
    found = ray.nodes()  # type: ignore[no-untyped-call]
    cpus = next(node["Resources"].get("CPU", 1) for node in found if node["NodeID"] == here)
    return max(1, int(cpus) // int(get_context().get_local_world_size()))
