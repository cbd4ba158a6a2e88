"""Run folders -> MLflow. `publish(run_folder)` logs what MLflow does not have yet.

Publishing is idempotent: `published.json` records what MLflow has; without it a run is found by its tag, a point by its
time and step, a file by its name. A run that MLflow refuses stops no other; if the server is down, runs are published
later. Importing MLflow takes four seconds, so a stage leaves it to a separate process, `python -m
genlib.tracking.mlflow`; the process that holds the lock publishes for all.
"""

from __future__ import annotations

import json
import logging
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib import provenance
from genlib.errors import one_line, run_cli
from genlib.files import file_lock, write_json
from genlib.tracking.address import ServerUnreachable, artifacts_dir, check_reachable, sqlite_path, tracking_uri
from genlib.tracking.run_folder import (
    HEADER,
    PUBLISHED,
    WEIGHTS_TAG,
    all_runs,
    open_run,
    parent_run,
    pending_runs,
    prune_runs,
    read_header,
    read_object,
    read_rows,
    runs_dir,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRAINING_STAGES = ("train", "tune")  # stages that train weights
SOURCE_TAG = "genlib.run_folder"  # the folder that a run was published from
MAX_DIGEST_CHARS, MAX_PARAM_CHARS = 36, 6000  # what MLflow takes of a data set's digest and of a param
PUBLISH_INTERVAL_S, REQUEST_TIMEOUT_S = 10, 10
STALL_TIMEOUT_S = 120  # for the import of MLflow, for the records of a run, and for each of its files
_CLIENT_ENV = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_TIMEOUT_S),
}


@contextmanager
def publishing(project_dir: Path) -> Iterator[None]:
    """Publish the runs of a project, in a process of its own, while the body runs and once more at its end.

    Raises:
        InputError: the address of the server is malformed.
    """
    tracking_uri(project_dir)
    command = [sys.executable, "-m", "genlib.tracking.mlflow", str(project_dir)]
    _lock_file(project_dir).parent.mkdir(parents=True, exist_ok=True)
    _lock_file(project_dir).touch()
    with subprocess.Popen(command, stdin=subprocess.PIPE, process_group=0) as process:
        try:
            yield
        finally:
            _end_publisher(process, project_dir)
    if process.returncode:
        print("genlib: the publisher of runs was ended early; `genlib sync` publishes the rest", file=sys.stderr)


def _end_publisher(process: subprocess.Popen[bytes], project_dir: Path) -> None:
    """Let the publisher finish; end it where a server that answers byte by byte holds it up."""
    process.stdin.close()  # type: ignore[union-attr]
    closed = time.time()
    while process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
        if time.time() - max(closed, _lock_file(project_dir).stat().st_mtime) > STALL_TIMEOUT_S:
            process.kill()


def publish_until_stdin_ends(project_dir: Path) -> None:
    """What `publishing` starts; it only waits while another process publishes."""
    os.nice(5)
    is_closing = False
    while not is_closing:
        with publisher_lock(project_dir) as is_mine:
            while not (is_closing := bool(select.select([sys.stdin], [], [], PUBLISH_INTERVAL_S)[0])) and is_mine:
                publish_all(project_dir, pending_runs(project_dir))
    for line in publish_rest(project_dir):
        print(f"genlib: {line}", file=sys.stderr)


def publish_rest(project_dir: Path) -> list[str]:
    """Publish what is pending, unless another process publishes; returns the lines to print."""
    while True:
        with publisher_lock(project_dir) as is_mine:
            problems = publish_all(project_dir, pending_runs(project_dir)) if is_mine else []
        # The process of a run that ended during this pass left that run to this one.
        if not is_mine or problems or not any("status" in read_header(run) for run in pending_runs(project_dir)):
            return [*problems, *old_records(project_dir), *prune_runs(project_dir)]


def old_records(project_dir: Path) -> list[str]:
    """A line about the journals of genlib 0.1, the first time that it is asked for."""
    folder = project_dir / ".genlib" / "journal"
    if not folder.exists() or (folder / "ignored").exists():
        return []
    (folder / "ignored").touch()
    return [f"{folder}: got records of genlib 0.1, which are ignored; remove the folder"]


def log_run(experiment: str, name: str, metrics: Mapping[str, float], texts: Mapping[str, str], **header: Any) -> None:
    """Numbers of no stage (of a survey or a benchmark, say) as a run with these texts as artifacts.

    Only where runs are kept already: at `MLFLOW_TRACKING_URI`, or in the project's mlflow.db. `header`: tags, params.
    """
    project_dir = provenance.main_worktree(Path.cwd())
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (project_dir / "mlflow.db").exists():
        return
    key = f"{experiment}-{os.getpid()}"
    try:
        with publishing(project_dir), open_run(project_dir, key, name=name, experiment=experiment, **header) as run:
            run.log(metrics, step=0)
            for file, text in {**texts, "requirements.txt": provenance.installed_requirements()}.items():
                run.log_text(file, text)
    except OSError as error:  # a folder that cannot be written: the work is done
        print(f"{name}: got no record of it ({one_line(error)})", file=sys.stderr)


def publish(run_folder: Path) -> list[str]:
    """Publish this folder and those nested in it; returns what `publish_all` does."""
    project_dir = next(path.parent for path in run_folder.parents if path.name == ".genlib")
    return publish_all(project_dir, [run for run in all_runs(project_dir) if run_folder in (run, parent_run(run))])


def publish_all(project_dir: Path, run_folders: Sequence[Path]) -> list[str]:
    """Bring MLflow to what these folders hold. Returns a line for each that is refused, or one for a silent server."""
    problems: list[str] = []
    if not run_folders:
        return problems
    try:
        _lock_file(project_dir).touch()
        client = connect(uri := tracking_uri(project_dir), project_dir)
        for folder in run_folders:
            began = time.monotonic()
            _lock_file(project_dir).touch()
            try:
                _publish_run(client, folder, project_dir)
            except Exception as error:  # whatever it is, it must not stop the others
                check_reachable(uri)
                if time.monotonic() - began > REQUEST_TIMEOUT_S:
                    raise ServerUnreachable(uri, error) from error
                problems.append(f"{folder}: not published ({type(error).__name__}: {one_line(error)})")
    except ServerUnreachable as error:
        kept = f"runs are kept in {runs_dir(project_dir)}"
        problems.append(f"{error}; {kept}, and published by the next stage or by `genlib sync`")
    return problems


def _publish_run(client: MlflowClient, folder: Path, project_dir: Path) -> None:
    header = read_header(folder)  # read first: where it says that the run has ended, all the rest is there
    if not header:
        raise ValueError(f"{HEADER} is broken; remove the folder")
    run_id = _find_or_create(client, folder, header, project_dir)
    published = read_object(folder / PUBLISHED)
    if published.get("run_id") != run_id:  # published nowhere, or elsewhere
        published = {"run_id": run_id, "files": {}}
    if published.get("is_whole"):
        return
    try:
        if published.get("header") != header:
            _publish_header(client, run_id, header)
            published["header"] = header
        rows = read_rows(folder)
        reports = [row for row in rows if "weights" not in row and row["step"] > published.get("last_step", -1)]
        scores = [row for row in rows if "weights" in row and row["weights"] not in published.get("scored", ())]
        _log_metrics(client, run_id, reports)
        _publish_files(client, run_id, folder, published["files"], project_dir)
        if "status" in header:
            client.set_terminated(run_id, header["status"], end_time=header["end_time"])
        _publish_scores(client, run_id, scores, project_dir)
        steps, weights = [row["step"] for row in reports], [row["weights"] for row in scores]
        published["last_step"] = max(steps, default=published.get("last_step", -1))
        published["scored"] = [*published.get("scored", ()), *weights]
        published["is_whole"] = "status" in header
    finally:
        write_json(published, folder / PUBLISHED)


def _find_or_create(client: MlflowClient, folder: Path, header: Mapping[str, Any], project_dir: Path) -> str:
    """The id of the run of this folder, also of one that was deleted on MLflow's pages."""
    from mlflow.entities import ViewType

    experiment_id, start_time = ensure_experiment(client, header["experiment"], project_dir), header["start_time"]
    source = f"{folder.relative_to(runs_dir(project_dir))}/{start_time}"
    for run in client.search_runs([experiment_id], f"attributes.start_time = {start_time}", ViewType.ALL):
        if run.data.tags.get(SOURCE_TAG) == source:
            if run.info.lifecycle_stage == "deleted":
                write_json({"run_id": run.info.run_id, "is_whole": True}, folder / PUBLISHED)
            return str(run.info.run_id)
    parent = parent_run(folder)
    nesting = {"mlflow.parentRunId": read_object(parent / PUBLISHED)["run_id"]} if parent else {}
    return str(
        client.create_run(experiment_id, start_time, {SOURCE_TAG: source, **nesting}, header["name"]).info.run_id
    )


def _publish_header(client: MlflowClient, run_id: str, header: Mapping[str, Any]) -> None:
    """Params, tags, and the data set as MLflow's pages show and find it."""
    from mlflow.entities import Dataset, DatasetInput, InputTag, Param, RunTag

    params, tags = header["params"], header["tags"]
    client.log_batch(
        run_id,
        params=[Param(key, value[:MAX_PARAM_CHARS]) for key, value in params.items()],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )
    if digest := tags.get("genlib.data_sha256"):
        name = tags.get("genlib.data", header["experiment"])
        source = json.dumps({"uri": params.get("data.uri", "data/prepared"), "sha256": digest})
        context = InputTag("mlflow.data.context", tags.get("genlib.stage", ""))
        dataset = Dataset(name, digest[:MAX_DIGEST_CHARS], "local", source)
        client.log_inputs(run_id, datasets=[DatasetInput(dataset, [context])])


def _log_metrics(client: MlflowClient, run_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    from mlflow.entities import Metric

    points = [Metric(name, value, row["time"], row["step"]) for row in rows for name, value in row["metrics"].items()]
    client.log_batch(run_id, metrics=points)


def _publish_scores(client: MlflowClient, run_id: str, rows: Sequence[Mapping[str, Any]], project_dir: Path) -> None:
    """Log each row to the run that trained its weights; for weights from elsewhere there is none.

    Raises:
        LookupError: that run is not published yet.
    """
    for row in rows:
        experiment_id = client.get_run(run_id).info.experiment_id
        found = client.search_runs([experiment_id], f"tags.`{WEIGHTS_TAG}` = '{row['weights']}'")
        trained = [run.info.run_id for run in found if run.data.tags.get("genlib.stage") in TRAINING_STAGES]
        pending = [read_header(run).get("tags", {}) for run in pending_runs(project_dir)]
        if trained:
            _log_metrics(client, trained[0], [row])
        elif any(tags.get(WEIGHTS_TAG) == row["weights"] for tags in pending):
            raise LookupError("the run that trained the weights is not published yet")


def _publish_files(client: MlflowClient, run_id: str, folder: Path, times: dict[str, int], project_dir: Path) -> None:
    """Images and artifacts that are new by `times`, the time of change of each published file."""
    for path in (*folder.glob("images/*/*.png"), *(folder / "artifacts").rglob("*")):
        name, changed = str(path.relative_to(folder)), path.stat().st_mtime_ns
        if path.name.startswith(".") or path.is_dir() or times.get(name) == changed:
            continue
        _lock_file(project_dir).touch()
        if name.startswith("images"):
            _log_image(client, run_id, path, changed // 10**6)
        else:
            parent = path.parent.relative_to(folder / "artifacts")
            client.log_artifact(run_id, str(path), None if parent == Path() else str(parent))
        times[name] = changed


def _log_image(client: MlflowClient, run_id: str, path: Path, time_ms: int) -> None:
    """Log images/<name>/<step>.png, unless it is there: MLflow gives each a new name, and its preview comes last."""
    from PIL import Image

    logged = f"images/{path.parent.name}+step+{path.stem}+timestamp+{time_ms}+"
    there = [file.path for file in client.list_artifacts(run_id, "images")]
    if not any(file.startswith(logged) and file.endswith(".webp") for file in there):
        with Image.open(path) as image:
            client.log_image(run_id, image, key=path.parent.name, step=int(path.stem), timestamp=time_ms)


def connect(uri: str, project_dir: Path) -> MlflowClient:
    """A client of the server or database at `uri`; a new SQLite file is created atomically, by one process at a time.

    Raises:
        ServerUnreachable: nothing answers there, or what does is no store of MLflow's.
    """
    check_reachable(uri)
    for key, value in _CLIENT_ENV.items():
        os.environ.setdefault(key, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with _store_lock(uri, project_dir):
        try:
            _create_sqlite_file(uri)
            client = mlflow.MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
        except Exception as error:  # of MLflow, its database, a driver or the disk: the work goes on
            raise ServerUnreachable(uri, f"{type(error).__name__}: {error}") from error
    return client


def _create_sqlite_file(uri: str) -> None:
    """Create the SQLite file under another name first: MLflow cannot use one whose creation was interrupted."""
    import mlflow

    path = sqlite_path(uri)
    if path and not path.exists():
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        mlflow.MlflowClient(tracking_uri=f"sqlite:///{partial}").search_experiments(max_results=1)
        partial.replace(path)


@contextmanager
def publisher_lock(project_dir: Path) -> Iterator[bool]:
    """The lock of the one process that publishes for a project; gives False where another process has it.

    Temporary files of MLflow lie in a folder of the project meanwhile, so that what a kill leaves is removed.
    """
    folder, before = project_dir / ".genlib" / "tmp", tempfile.tempdir
    with file_lock(_lock_file(project_dir), wait=False) as is_mine:
        if is_mine:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            tempfile.tempdir = str(folder)
        try:
            yield is_mine
        finally:
            tempfile.tempdir = before


def _lock_file(project_dir: Path) -> Path:
    """The publisher's lock; its time is that of the last step which the publisher began."""
    return project_dir / ".genlib" / "publisher.lock"


def _store_lock(uri: str, project_dir: Path) -> AbstractContextManager[bool]:
    """The lock of a SQLite file, which several projects may share, or of a project's use of a server."""
    path = sqlite_path(uri)
    return file_lock(path.with_name(f".{path.name}.lock") if path else project_dir / ".genlib" / "mlflow.lock")


def ensure_experiment(client: MlflowClient, name: str, project_dir: Path) -> str:
    """The id of the experiment `name`, created by one process at a time where there is none, restored where it was
    deleted on MLflow's pages."""
    uri = client.tracking_uri
    artifacts = None if uri.startswith("http") else artifacts_dir(uri, project_dir).as_uri()
    with _store_lock(uri, project_dir):
        found = client.get_experiment_by_name(name)
        if found and found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
            print(f"genlib: the experiment {name} had been deleted in MLflow, and is restored", file=sys.stderr)
        return str(found.experiment_id if found else client.create_experiment(name, artifacts))


if __name__ == "__main__":
    sys.exit(run_cli(lambda: publish_until_stdin_ends(Path(sys.argv[1]))))
