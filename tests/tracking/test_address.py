"""The address of the tracking server: refused before any work, given up on in time, shown without its secrets."""

import json
import socket
import threading
from contextlib import contextmanager

import pytest
from tracking.runs import start

from genlib.cli import main
from genlib.commands import doctor
from genlib.errors import InputError
from genlib.tracking import address
from genlib.tracking.address import ServerUnreachable, artifacts_dir, check_reachable, require_driver, tracking_uri
from genlib.tracking.mlflow import publish_all

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports
WITH_SECRETS = [
    "http://alice:s3cr3t@127.0.0.1:9",
    "https://s3cr3t@127.0.0.1:9/mlflow",
    "postgresql://u:s3cr3t@127.0.0.1:9/db",
    "mysql+pymysql://u:s3cr3t@127.0.0.1:9/db?ssl_key=s3cr3t",
]
MALFORMED = [
    "file:///x",
    "databricks",
    "sqlite://",
    "sqlite:///",
    "sqlite:///:memory:",
    "http://",
    "http://u:s3cr3t@h:x",
]


@pytest.mark.parametrize("uri", [*MALFORMED, "alice:s3cr3t@host"])
def test_what_is_no_address_of_a_store_is_refused(uri, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI: got") as refused:
        tracking_uri(tmp_path)
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgresql", "mysql+pymysql", "mssql", "postgresql+nonsense"])
def test_a_database_without_its_driver_is_refused_before_any_work(scheme, tmp_path, monkeypatch, capsys):
    """Databases that nothing here can open: stages ended in a traceback once their work was done (mlflow#20926)."""
    uri = f"{scheme}://u:s3cr3t@127.0.0.1:9/db"
    with pytest.raises(InputError, match=r"MLFLOW_TRACKING_URI: got .*expected a database whose driver") as refused:
        require_driver(uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert main(["evaluate", "--real", str(tmp_path), "--fake", str(tmp_path)]) == 2
    [found] = doctor.check_tracking()
    assert found.level == "broken"
    assert "s3cr3t" not in f"{refused.value} {found} {capsys.readouterr().err}"


@pytest.mark.parametrize("uri", WITH_SECRETS)
def test_a_silent_server_is_named_without_its_secrets(uri, tmp_path, monkeypatch, capsys):
    """Secrets in addresses: the password was printed by stages, doctor, sync and evaluate (mlflow#2282)."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.chdir(tmp_path)
    start(tmp_path).end()
    [line] = publish_all(tmp_path, [tmp_path / ".genlib/runs/train-gan-1"])
    assert "127.0.0.1:9" in line and "does not answer" in line
    assert main(["sync"]) == 1
    shown = f"{line} {[str(result) for result in doctor.check_tracking()]} {capsys.readouterr()}"
    assert "***@127.0.0.1:9" in shown and "s3cr3t" not in shown


def test_no_secret_is_stored_with_a_run(tmp_path):
    """Secrets in addresses: `data.root` and `ray.storage_path` became params of MLflow as they are."""
    params = {"data": {"root": "s3://u:s3cr3t@bucket/x?token=s3cr3t"}, "ray": {"storage_path": "https://h/?sig=s3cr3t"}}
    run = start(tmp_path, params=params, tags={"where": "http://s3cr3t@h"})
    run.tag({"then": "http://s3cr3t@h"})
    run.log_text("report.json", json.dumps(params))
    run.end()
    stored = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "bucket/x" in stored and "s3cr3t" not in stored


@contextmanager
def listening(answer=b""):
    """A server that takes calls, and says this."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def serve():
            while True:
                try:
                    kept.append(server.accept()[0])
                    kept[-1].sendall(answer)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_black_hole_is_given_up_on_at_the_first_byte(tmp_path, monkeypatch):
    """Servers that take calls and say nothing cost each stage 40 s."""
    monkeypatch.setattr(address, "PROBE_TIMEOUT_S", 0.2)
    with listening() as place, pytest.raises(ServerUnreachable):
        check_reachable(f"http://{place}")
    with listening(b"HTTP/1.0 404 no\r\n") as place:
        check_reachable(f"http://u:p@{place}/mlflow")
    start(tmp_path).end()
    with listening() as place:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://u:s3cr3t@{place}/db")
        [line] = publish_all(tmp_path, [tmp_path / ".genlib/runs/train-gan-1"])
    assert "runs are kept" in line and "psycopg" in line and "s3cr3t" not in line


def test_artifacts_lie_beside_a_database_that_projects_share(tmp_path):
    """Databases of several projects: the artifacts of the second went into the folder of the first (hydraflow#245)."""
    found = {artifacts_dir(f"sqlite:///{tmp_path}/shared/m.db?timeout=9", tmp_path / name) for name in ("one", "two")}
    assert found == {tmp_path / "shared/mlartifacts"}
    assert artifacts_dir("postgresql://h/db", tmp_path) == tmp_path / "mlartifacts"
