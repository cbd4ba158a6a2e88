"""Who publishes: one process beside the stages, whatever dies."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
from tracking.runs import by_name, points, published, start, trained

from genlib.cli import main
from genlib.commands.sync import sync
from genlib.tracking import mlflow
from genlib.tracking.mlflow import all_runs, pending_runs, publisher_lock, publishing

ROOT = Path(__file__).parents[2]
PUBLISHER = "genlib.tracking.mlflow"
pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports


@pytest.fixture
def project(uri, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
    return tmp_path


def wait_until(condition):
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def is_published(project):
    with publisher_lock(project) as is_mine:
        return not is_mine


def test_what_stages_log_is_published_by_one_process(project, uri):
    with publishing(project):
        wait_until(lambda: is_published(project))
        with publishing(project):  # the process of a stage, which leaves it to the other
            trained(project)
            start(project, "train vae").log({"loss": 1.0}, 10)
        assert len(pending_runs(project)) == 2
    assert {name: run.info.status for name, run in by_name(uri).items()} == {
        "train gan": "FINISHED",
        "train vae": "RUNNING",
    }


def test_another_process_takes_over_from_one_that_was_killed(project, uri):
    command = [sys.executable, "-m", "genlib.tracking.mlflow", str(project)]
    first = subprocess.Popen(command, stdin=subprocess.PIPE)
    wait_until(lambda: is_published(project))
    with publishing(project):
        trained(project)
        first.kill()
        first.communicate()
    assert set(by_name(uri)) == {"train gan"} and pending_runs(project) == []


STAGE = """
import sys, time
from pathlib import Path
from genlib.tracking.mlflow import publishing
from tracking.runs import start
with publishing(Path.cwd()), start(Path.cwd()) as run:
    for step in range(10, int(sys.argv[1]), 10):
        run.log({"loss": 1 / step}, step)
    assert "mlflow" not in sys.modules
    print("logged", flush=True)
    time.sleep(60 if len(sys.argv) > 2 else 0)
"""


def test_a_stage_that_is_killed_goes_on_as_one_run(project, uri):
    stage = [sys.executable, "-c", STAGE]
    killed = subprocess.Popen([*stage, "40", "wait"], cwd=project, stdout=subprocess.PIPE, text=True)
    assert killed.stdout.readline() == "logged\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()  # ends with the publisher, which publishes what there is
    assert by_name(uri)["train gan"].info.status == "RUNNING"
    subprocess.run([*stage, "60"], cwd=project, check=True)
    client, [run] = published(uri)
    assert points(client, run, "loss") == [(step, 1 / step) for step in (10, 20, 30, 40, 50)]
    assert run.info.status == "FINISHED"


def test_a_silent_server_costs_one_line_and_sync_publishes_what_it_missed(project, uri, monkeypatch, capfd):
    monkeypatch.chdir(project)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with publishing(project):
        trained(project)
    out, err = capfd.readouterr()
    (line,) = err.splitlines()
    assert out == "" and line.startswith("genlib: http://127.0.0.1:9 does not answer") and "genlib sync" in line
    assert sync() == 1
    assert "does not answer" in capfd.readouterr().err
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert sync() == sync() == 0
    assert capfd.readouterr() == (f"all 1 runs are published to {uri}\n" * 2, "")
    assert set(by_name(uri)) == {"train gan"}
    with publisher_lock(project):
        assert sync() == 0
    assert "a stage that is running publishes 1 runs" in capfd.readouterr().out


def test_a_publisher_that_was_ended_early_is_told_of(project, capfd):
    with publishing(project):
        trained(project)
        [publisher] = [
            each for each in psutil.Process().children() if each.status() != "zombie" and PUBLISHER in each.cmdline()
        ]
        publisher.kill()
    assert "`genlib sync` publishes the rest" in capfd.readouterr().err


def test_a_publisher_that_comes_to_nothing_is_ended(tmp_path, monkeypatch):
    """Servers that answer byte by byte: a stage never ended. Each step of the publisher gives it more time."""
    monkeypatch.setattr(mlflow, "STALL_TIMEOUT_S", 1)
    lock = mlflow._lock_file(tmp_path)
    lock.parent.mkdir()
    lock.touch()
    with subprocess.Popen(["sleep", "600"], stdin=subprocess.PIPE) as process:
        mlflow._end_publisher(process, tmp_path)
    assert process.returncode == -signal.SIGKILL
    code = f"import time, pathlib\nfor _ in range(5): pathlib.Path({str(lock)!r}).touch(); time.sleep(0.5)"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as process:
        mlflow._end_publisher(process, tmp_path)
    assert process.returncode == 0


def test_temporary_files_of_a_killed_publisher_go(tmp_path):
    """Leftovers of kills: MLflow's temporary folders stayed in /tmp."""
    (tmp_path / ".genlib/tmp/left").mkdir(parents=True)
    before = tempfile.gettempdir()
    with publisher_lock(tmp_path) as is_mine:
        assert is_mine and tempfile.gettempdir() == str(tmp_path / ".genlib/tmp")
        assert list((tmp_path / ".genlib/tmp").iterdir()) == []
        with publisher_lock(tmp_path) as is_theirs:
            assert not is_theirs and tempfile.gettempdir() == str(tmp_path / ".genlib/tmp")
    assert tempfile.gettempdir() == before


def test_records_of_an_older_version_are_ignored_and_said_once(project, monkeypatch, capfd):
    monkeypatch.chdir(project)
    (project / ".genlib/journal/train-gan").mkdir(parents=True)
    (project / ".genlib/journal/train-gan/events.jsonl").write_text("{}\n")
    for said in (1, 0):
        with publishing(project):
            pass
        assert capfd.readouterr().err.count("got records of genlib 0.1, which are ignored") == said


def test_runs_are_published_as_they_began(project):
    for name in ("train b", "train c", "train a"):
        trained(project, name)
        time.sleep(0.01)
    assert [path.name for path in all_runs(project)] == ["train-b-1", "train-c-1", "train-a-1"]


@pytest.mark.parametrize("arguments", [["track"], ["track", "--flush"]])
def test_the_old_name_of_sync_is_refused_with_the_new_one(arguments, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err == "genlib: track: got a name of genlib 0.1, expected genlib sync\n"
