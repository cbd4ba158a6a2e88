"""Who sends: a stage for itself, or one process for all stages, for as long as it lives."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from genlib.tracking.courier import Courier, attended, attending
from genlib.tracking.journal import Journal

from genlib.tracking.mlflow import connect, waiting

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


def logged(home, name):
    """The journal of a stage that has ended."""
    run = Journal(home / ".genlib/journal" / name).run("stage", name=name, experiment="digits", tags={}, params={})
    run.log({"loss": 1.0}, 10)
    run.end()
    return run.journal.folder


def runs(home):
    client = connect(f"sqlite:///{home}/mlflow.db", home)
    place = client.get_experiment_by_name("digits")
    found = client.search_runs([place.experiment_id]) if place else []
    return sorted((run.info.run_name, run.info.status) for run in found)


def post(home):
    """The process that sends for all stages, once it does."""
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-m", "pipelines.post"], cwd=home, env=env, stdin=subprocess.PIPE)
    until = time.monotonic() + 60
    while not attended(home) and time.monotonic() < until:
        time.sleep(0.05)
    return process


def test_a_stage_sends_for_itself_unless_a_process_sends_for_all(home):
    with attending(home) as alone:
        assert alone and attended(home)
        folder = logged(home, "train gan")
        assert Courier(home, folder).close() is None and folder.exists()
        with attending(home) as another:
            assert not another
    assert not attended(home)
    assert Courier(home, folder).close() is None and not folder.exists()
    assert runs(home) == [("train gan", "FINISHED")]


def test_what_stages_log_is_sent_when_the_process_for_all_is_told_to_end(home):
    with post(home):
        logged(home, "train gan")
        half = Journal(home / ".genlib/journal/half")
        half.run("stage", name="train vae", experiment="digits", tags={}, params={}).log({"loss": 1.0}, 10)
    assert runs(home) == [("train gan", "FINISHED"), ("train vae", "RUNNING")]
    half.run("stage", name="train vae", experiment="digits", tags={}, params={}).end()
    assert Courier(home, half.folder).close() is None
    assert runs(home) == [("train gan", "FINISHED"), ("train vae", "FINISHED")]
    assert waiting(home / ".genlib/journal") == []


def test_where_the_process_for_all_was_killed_stages_send_for_themselves(home):
    process = post(home)
    process.kill()
    process.communicate()
    assert not attended(home)
    assert Courier(home, logged(home, "train gan")).close() is None
    assert runs(home) == [("train gan", "FINISHED")]


def test_journals_are_sent_as_they_began(home):
    for name in ("b", "c", "a"):
        logged(home, name)
        time.sleep(0.01)
    assert [path.name for path in waiting(home / ".genlib/journal")] == ["b", "c", "a"]


def test_a_silent_server_is_told_of_once(home, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    folder = logged(home, "train gan")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.post"], cwd=home, env=env, input="", capture_output=True, text=True
    )
    assert done.returncode == 0 and folder.exists() and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("genlib: http://127.0.0.1:9 does not answer") and "sent by the next stage" in line
