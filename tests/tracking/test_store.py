"""Where runs are kept: the address, and a database that is made once and whole."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tracking.runs import by_name, trained

from genlib.errors import InputError
from genlib.tracking import mlflow
from genlib.tracking.mlflow import ServerUnreachable, publish, publishing, tracking_uri

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports


@pytest.mark.parametrize(
    "address", ["http://localhost:5000", "https://host", "sqlite:////x/y.db", "postgresql+psycopg2://h/d"]
)
def test_an_address_of_a_server_or_database_passes(monkeypatch, tmp_path, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert tracking_uri(tmp_path) == address


def test_the_default_is_a_database_in_the_project(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense")
    with pytest.raises(InputError), publishing(tmp_path):
        pass


def test_a_database_whose_making_was_cut_off_is_made_anew(tmp_path):
    code = f"""
import os, pathlib, signal, threading, time
from genlib.tracking.mlflow import connect
home = pathlib.Path({str(tmp_path)!r})
def cut():
    while not (list(home.glob("*mlflow.db*")) + list(home.glob(".mlflow.db*"))):
        time.sleep(0.001)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGKILL)
threading.Thread(target=cut).start()
connect(f"sqlite:///{{home}}/mlflow.db", home)
time.sleep(60)
"""
    assert subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}).returncode == -9
    assert not (tmp_path / "mlflow.db").exists()
    assert mlflow.connect(f"sqlite:///{tmp_path}/mlflow.db", tmp_path).search_experiments()
    (tmp_path / "mlflow.db").write_bytes(b"x" * 5000)
    with pytest.raises(ServerUnreachable, match="does not answer"):
        mlflow.connect(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)


@pytest.mark.parametrize("projects", ["0 0 0", "0 1 2"])
def test_a_new_database_survives_several_openers_at_once(tmp_path, monkeypatch, projects):
    """Databases of several projects: the lock was the project's, so that two at once broke a new file (mlflow#6490)."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    folders = [trained(tmp_path / project, f"train {number}") for number, project in enumerate(projects.split())]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(publish, folders)) == [[], [], []]
    assert len(by_name(f"sqlite:///{tmp_path}/mlflow.db")) == 3
