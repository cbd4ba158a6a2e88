"""Journals -> MLflow. The only importer of mlflow, and only once there is something to send.

A journal is sent event by event; how far, and under which run ids, is kept in its `sent.json`, so sending can stop
anywhere and go on later. A sender that is killed leaves a `sent.json` that lags behind; what is sent twice then changes
nothing, since a run is found again and a point is a point. A server that does not answer costs one warning: the
journal stays and is sent next time.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from genlib.errors import InputError, one_line
from genlib.tracking.journal import finished, read_events

if TYPE_CHECKING:
    from mlflow import MlflowClient

TRAINING_STAGES = ("train", "tune")  # the stages whose runs make weights
SOURCE_TAG = "genlib.journal"  # the tag that says which event of which journal made a run
MAX_DIGEST_CHARS = 36  # characters that MLflow keeps of a data set's digest
URI_SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql")
_CLIENT_ENV = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


def tracking_uri(project_dir: Path) -> str:
    """`MLFLOW_TRACKING_URI`, or the SQLite file `mlflow.db` in `home`.

    Raises:
        InputError: the address is malformed.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_dir.resolve()}/mlflow.db"
    try:
        parts = urlsplit(uri)
        is_valid = parts.scheme.partition("+")[0] in URI_SCHEMES and (
            not parts.scheme.startswith("http") or parts.hostname
        )
        _ = parts.port
    except ValueError:
        is_valid = False
    if not is_valid:
        raise InputError(
            f"MLFLOW_TRACKING_URI: got {uri!r}, expected http(s)://host:port, sqlite:////path or another database"
        )
    return uri


class ServerUnreachable(ConnectionError):
    """The tracking server does not answer."""


def waiting(journals: Path) -> list[Path]:
    """The journals in this folder, as they began; those that say something of another's runs come last."""
    return [path.parent for path in sorted(journals.glob("*/events.jsonl"), key=_turn)]


def _turn(path: Path) -> tuple[bool, int]:
    """Whether these events say something of runs that other journals may hold, and when the first happened."""
    events = read_events(path)
    return any(event["op"] == "credit" for event in events), min((event["time"] for event in events), default=0)


def events(journal: Path) -> int:
    """How many events of the journal were not sent yet."""
    return len(read_events(journal / "events.jsonl", _Sent(journal / "sent.json").lines))


def send(journal: Path, uri: str, home: Path) -> None:
    """Send what is new in `journal`, and remove it once all its runs have ended; one process at a time.

    Raises:
        Unreachable: the server does not answer; nothing is lost.
    """
    with file_lock(home / ".genlib" / "journal.lock"):
        _send(journal, uri, home)


def _send(journal: Path, uri: str, home: Path) -> None:
    whole = finished(journal)  # asked first: what ends while it is being sent has events that were not read
    sent = _Sent(journal / "sent.json")
    events = read_events(journal / "events.jsonl", sent.lines)
    if events:
        client = connect(uri, home)
        try:
            for event in events:
                _apply(client, event, sent, journal, home)
                sent.lines += 1
        except Exception as error:
            if type(error).__module__.startswith("mlflow"):
                raise ServerUnreachable(f"{uri} refused what was sent ({one_line(error)})") from error
            raise
        finally:
            sent.save()
    if whole:
        shutil.rmtree(journal)


def connect(uri: str, project_dir: Path) -> MlflowClient:
    """A client of the server or database at `uri`; a new SQLite file is made by one process at a time, and whole.

    Raises:
        Unreachable: nothing answers there, or what does is no store of MLflow's.
    """
    check_reachable(uri)
    for key, value in _CLIENT_ENV.items():
        os.environ.setdefault(key, value)
    import mlflow

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with file_lock(project_dir / ".genlib" / "mlflow.lock"):
        try:
            _create_sqlite_file(uri)
            client = mlflow.MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
        except Exception as error:
            if type(error).__module__.partition(".")[0] not in ("mlflow", "sqlalchemy", "alembic"):
                raise
            raise ServerUnreachable(f"{uri} does not answer ({one_line(error)})") from error
    return client


def _create_sqlite_file(uri: str) -> None:
    """Make an SQLite file that is not there yet under another name first: MLflow cannot go on with one whose making was
    cut off."""
    import mlflow

    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not path.exists():
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        mlflow.MlflowClient(tracking_uri=f"sqlite:///{partial}").search_experiments(max_results=1)
        partial.replace(path)


def check_reachable(uri: str) -> None:
    """Fail within two seconds where an HTTP server is down, rather than after MLflow's own retries."""
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        port = parts.port or (443 if parts.scheme == "https" else 80)
        try:
            socket.create_connection((str(parts.hostname), port), timeout=2).close()
        except OSError as error:
            raise ServerUnreachable(f"{uri} does not answer ({error})") from error


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the file lock `path`."""
    import fcntl

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Sent:
    """How many lines of a journal were sent, and the MLflow id of each of its runs."""

    def __init__(self, path: Path) -> None:
        self.path = path
        facts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"lines": 0, "runs": {}}
        self.lines = int(facts["lines"])
        self.runs = dict(facts["runs"])

    def save(self) -> None:
        partial = self.path.with_suffix(".partial")
        partial.write_text(json.dumps({"lines": self.lines, "runs": self.runs}))
        partial.replace(self.path)


def _apply(client: MlflowClient, event: Mapping[str, Any], sent: _Sent, journal: Path, home: Path) -> None:
    if event["op"] == "start":
        _start(client, event, sent, journal, home)
        return
    run = sent.runs[event["run"]]
    if event["op"] == "log":
        _log_metrics(client, run, event)
    elif event["op"] == "credit":
        trained = _find_training_run(client, run, event["weights"])
        if trained:
            _log_metrics(client, trained, event)
    elif event["op"] == "tag":
        for key, value in event["tags"].items():
            client.set_tag(run, key, value)
    elif event["op"] == "keep":
        _keep(client, run, journal / event["file"], event)
    elif event["op"] == "figure":
        from PIL import Image

        with Image.open(journal / event["file"]) as picture:
            client.log_image(run, picture, key=event["name"], step=event["step"], timestamp=event["time"])
    elif event["op"] == "end":
        client.set_terminated(run, event["status"], end_time=event["time"])


def _log_metrics(client: MlflowClient, run: str, event: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric

    points = [Metric(name, value, event["time"], event["step"]) for name, value in event["metrics"].items()]
    client.log_batch(run, metrics=points)


def _find_training_run(client: MlflowClient, run: str, weights_sha256: str) -> str | None:
    """The newest run in the experiment of `run` that trained these weights."""
    place = client.get_run(run).info.experiment_id
    found = client.search_runs([place], f"tags.`genlib.model_sha256` = '{weights_sha256}'")
    trained = (each.info.run_id for each in found if each.data.tags.get("genlib.stage") in TRAINING_STAGES)
    return next(trained, None)


def _start(client: MlflowClient, event: Mapping[str, Any], sent: _Sent, journal: Path, home: Path) -> None:
    from mlflow.entities import Param

    place = ensure_experiment(client, event["experiment"], home)
    parent = {"mlflow.parentRunId": sent.runs[event["parent"]]} if event["parent"] else {}
    origin = {SOURCE_TAG: f"{journal.name}/{event['run']}/{event['time']}"}
    run = _find_started_run(client, place, event["time"], origin)
    if run is None:
        tags = {**event["tags"], **parent, **origin}
        run = client.create_run(place, event["time"], tags, event["name"]).info.run_id
    sent.runs[event["run"]] = run
    sent.save()
    client.log_batch(run, params=[Param(key, value[:6000]) for key, value in event["params"].items()])
    _log_dataset(client, run, event)


def _log_dataset(client: MlflowClient, run: str, event: Mapping[str, Any]) -> None:
    """The data set that a run is of, as MLflow's pages show and find it; once, however often it is told."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    digest = event["tags"].get("genlib.data_sha256")
    if digest:
        name = event["params"].get("data.name", event["experiment"])
        uri = event["params"].get("data.uri", "data/prepared")
        data = Dataset(name, digest[:MAX_DIGEST_CHARS], "local", json.dumps({"uri": uri, "sha256": digest}))
        context = InputTag("mlflow.data.context", event["tags"].get("genlib.stage", ""))
        client.log_inputs(run, datasets=[DatasetInput(data, [context])])


def _find_started_run(client: MlflowClient, experiment: str, time: int, origin: Mapping[str, str]) -> str | None:
    """The run that an earlier sender made of this very event before it was killed."""
    found = client.search_runs([experiment], f"attributes.start_time = {time}")
    return next((run.info.run_id for run in found if origin.items() <= run.data.tags.items()), None)


def ensure_experiment(client: MlflowClient, name: str, project_dir: Path) -> str:
    """The id of the experiment `name`, made by one process at a time where there is none."""
    artifacts = None if client.tracking_uri.startswith("http") else (project_dir / "mlartifacts").resolve().as_uri()
    with file_lock(project_dir / ".genlib" / "mlflow.lock"):
        found = client.get_experiment_by_name(name)
        return str(found.experiment_id if found else client.create_experiment(name, artifacts))


def _keep(client: MlflowClient, run: str, copy: Path, event: Mapping[str, Any]) -> None:
    """Log a kept file under the name it had."""
    named = copy.parent / "named" / event["name"]
    named.parent.mkdir(exist_ok=True)
    shutil.copyfile(copy, named)
    client.log_artifact(run, str(named), event["folder"] or None)
