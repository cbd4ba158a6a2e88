"""Ray Train: many workers, one model. Workers yield to the driver; the driver alone writes."""

import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from genlib.distributed.session import (
    alive_nodes,
    cluster_total,
    report_waiting,
    require_shared_storage,
    session,
    silence_ray_loggers,
    this_node,
)
from genlib.distributed.shard_reader import RemoteReader
from genlib.errors import InputError, WorkersLost, one_line
from genlib.files import write_text
from genlib.training.checkpoints import latest_checkpoint, write_checkpoint
from genlib.training.fit import fit
from genlib.training.job import TrainingJob
from genlib.training.loop import Progress, TrainingDiverged
from genlib.training.process_group import ProcessGroup

ProgressCallback = Callable[[Progress], None]
LogCallback = Callable[[str], None]
MAX_RESTARTS = 3
RESIZE_INTERVAL_S = 60.0  # between two checks for more or fewer available workers


@dataclass(frozen=True)
class WorkersStarted:
    """The message of a new group of workers."""

    num_workers: int
    images_seen: int


class ProgressListener:
    """Passes every report on once: a group of workers that replaces another repeats earlier reports."""

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
                start = f"{message.num_workers} workers at {message.images_seen:,} images"
                self.log(f"{self.name}: begun again with {start}")
            self.num_workers = message.num_workers
        elif message.images_seen > self.last_progress.images_seen:
            self.last_progress = message
            self.on_progress(message)

    def result(self) -> Progress:
        """The last report; raises the failure of the workers, or KeyboardInterrupt where they were stopped."""
        if self.failure:
            raise self.failure
        if not self.last_progress.is_done:
            raise KeyboardInterrupt
        return self.last_progress


def drop_model(progress: Progress) -> Progress:
    return replace(progress, model=None)


def train_distributed(
    job: TrainingJob,
    storage_path: str,
    name: str,
    on_progress: ProgressCallback,
    log: LogCallback = print,
    postprocess: Callable[[Progress], Progress] = drop_model,
    should_stop: Callable[[], bool] = bool,
) -> Progress:
    """Train `job`, call `on_progress` with every report in order, and return the last one.

    `job.train.workers` = 0 trains in this process, without Ray, whose import takes as long as torch's. Otherwise Ray
    Train gives that many workers, or as many as there is room for; (1, 4) are at least one, and up to four as nodes
    come and go. A worker that dies is replaced, and its group goes on from the last checkpoint. `postprocess` is
    applied to each report in the process that trains. `storage_path`, a folder that every node sees or a URL, is for
    Ray's own files. Once `should_stop` is true, the job writes a checkpoint at its next report and ends.

    Raises:
        KeyboardInterrupt: the job was stopped before its end.
        TrainingDiverged: the loss stopped being finite.
        WorkersLost: workers died again and again.
    """
    listener = ProgressListener(name, on_progress, log)
    if job.train.workers == 0:
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(os.cpu_count() or 1)
        for progress in fit(job, should_stop=should_stop):
            listener(postprocess(progress))
        return listener.result()
    with session() as cpus:
        import ray

        from genlib.distributed.driver_channel import open_driver_channel

        gpus = cluster_total("GPU")
        num_workers = _resolve_num_workers(job, cpus, gpus, lambda line: log(f"{name}: {line}"))
        require_shared_storage(storage_path)
        shared_job = ray.put(replace(job, dataset=job.dataset.load_for_workers(RemoteReader.on_this_node)))
        channel_opened = open_driver_channel(job.checkpoint_dir, listener, should_stop)
        with report_waiting(name, log), _ray_run_folder(storage_path, name, job) as folder, channel_opened as channel:
            loop_config = {"job": shared_job, "postprocess": postprocess, "channel": channel}
            _run_trainer(folder, name, num_workers, gpus > 0, loop_config)
    return listener.result()


def _resolve_num_workers(job: TrainingJob, cpus: int, gpus: int, log: LogCallback) -> int | tuple[int, int]:
    """How many workers to ask for: each takes a GPU if there are any, or a CPU; InputError if there is neither."""
    available, unit = (gpus, "GPUs") if gpus else (cpus, "CPUs")
    asked = job.train.workers
    if not available:
        raise InputError(f"models.{job.name}.train.workers: got {asked}, expected a cluster with CPUs: it has none")
    if not isinstance(asked, int):
        return min(asked[0], available), asked[1]
    if asked > available:
        log(f"{asked} workers asked, {available} {unit} there: {available} used")
    return min(asked, available)


@contextmanager
def _ray_run_folder(storage_path: str, name: str, job: TrainingJob) -> Iterator[str]:
    """The folder of Ray's own files of this run, removed at its end. Its random part is noted beside the checkpoints:
    Ray would go on from what a run of this name elsewhere, or a killed one, left."""
    from fsspec.core import url_to_fs

    note = job.checkpoint_dir / "ray_run" if job.checkpoint_dir else None
    token = note.read_text() if note and note.exists() else secrets.token_hex(4)
    if note:
        write_text(token, note)
    root = storage_path if "://" in storage_path else str(Path(storage_path).resolve())
    files, path = url_to_fs(folder := f"{root}/{name}-{token}")

    def remove() -> None:
        with suppress(Exception):  # whatever a store answers, it fails no run
            files.rm(path, recursive=True)

    remove()
    try:
        yield folder
    finally:
        remove()


def _bind_to_node_address() -> None:
    """Let gloo and NCCL use the network interface of this node's address in Ray, whatever the host's name resolves to;
    what the user has set stays."""
    import psutil
    from ray.util import get_node_ip_address

    address = get_node_ip_address()  # type: ignore[no-untyped-call]
    for nic, found in psutil.net_if_addrs().items():
        if address in [each.address.partition("%")[0] for each in found]:
            os.environ.setdefault("GLOO_SOCKET_IFNAME", nic)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", f"={nic}")
            return


def _run_trainer(
    folder: str, name: str, num_workers: int | tuple[int, int], use_gpu: bool, loop_config: dict[str, Any]
) -> None:
    from ray.exceptions import RayTaskError
    from ray.train import ControllerError, FailureConfig, RunConfig, ScalingConfig, WorkerGroupError
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.config import LoggingConfig

    class Trainer(TorchTrainer):
        def _register_sigint_handler(self, controller: Any) -> None:
            """Leave Ctrl-C to the caller: Ray's own handler ends the process."""

    class Backend(TorchConfig().backend_cls):  # type: ignore[misc]
        def on_start(self, worker_group: Any, backend_config: Any) -> None:
            worker_group.execute(_bind_to_node_address)
            super().on_start(worker_group, backend_config)

    class Config(TorchConfig):
        backend_cls = Backend

    silence_ray_loggers()
    storage_path, _, run_name = folder.rpartition("/")
    try:
        Trainer(
            _train_worker,
            train_loop_config=loop_config,
            torch_config=Config(backend="cpu:gloo,cuda:nccl" if use_gpu else "gloo"),
            scaling_config=ScalingConfig(  # type: ignore[call-arg]
                num_workers=num_workers,  # type: ignore[arg-type]
                use_gpu=use_gpu,
                elastic_resize_monitor_interval_s=RESIZE_INTERVAL_S,
            ),
            run_config=RunConfig(
                name=run_name,
                storage_path=storage_path,
                failure_config=FailureConfig(max_failures=MAX_RESTARTS),
                logging_config=LoggingConfig(log_level="ERROR"),  # type: ignore[call-arg]
            ),
        ).fit()
    except ControllerError as error:
        reason = str(error).strip().splitlines()[-1]
        raise WorkersLost(f"{name}: its workers did not start: {reason}") from error
    except WorkerGroupError as error:
        first = next(iter(error.worker_failures.values()), error)
        if isinstance(first, RayTaskError):  # raised by the code of a worker, which is alive
            raise
        times = MAX_RESTARTS + 1
        raise WorkersLost(f"{name}: its workers died {times} times, the last with {one_line(first)!r}") from error


def _train_worker(loop_config: dict[str, Any]) -> None:
    """What every worker runs, on its share of the node's CPUs: rank 0 sends reports and checkpoints to the driver."""
    import ray
    from ray.train import get_context

    channel, group = loop_config["channel"], ProcessGroup.current()

    def send(message: Any) -> None:
        if group.is_main:
            ray.get(channel.send.remote(message))

    cpus = next(node["Resources"].get("CPU", 1) for node in alive_nodes() if node["NodeID"] == this_node())
    torch.set_num_threads(max(1, int(cpus) // get_context().get_local_world_size()))
    with tempfile.TemporaryDirectory() as folder:
        checkpoint_dir, started, images_seen = Path(folder), False, 0
        if found := ray.get(channel.read_latest_checkpoint.remote()):
            write_checkpoint(checkpoint_dir, *found)
        try:
            job = replace(ray.get(loop_config["job"]), checkpoint_dir=checkpoint_dir)
            for progress in fit(job, group, lambda: bool(ray.get(channel.should_stop.remote()))):
                if not (progress.resumed or started):
                    send(WorkersStarted(group.world_size, images_seen))
                    started = True
                images_seen = progress.images_seen
                if progress.checkpoint_due and group.is_main and (latest := latest_checkpoint(checkpoint_dir)):
                    ray.get(channel.write_checkpoint.remote(latest.path.name, latest.content))
                send(loop_config["postprocess"](progress))
        except (TrainingDiverged, InputError) as error:
            send(error)
