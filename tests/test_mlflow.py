"""MLflow, for real: a database made once, runs nested, points once, a silent server that delays and loses nothing."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from genlib.errors import InputError
from genlib.tracking import mlflow
from genlib.tracking.courier import Courier
from genlib.tracking.journal import Journal, read_events
from genlib.tracking.mlflow import ServerUnreachable, send, tracking_uri
from genlib.tracking.single import single

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.filterwarnings("ignore")
TAGS = {"genlib.stage": "train", "genlib.model": "gan", "genlib.data_sha256": "d" * 64}


def journal(folder, end=True):
    """A sweep with one trial, a picture and a file."""
    made = Journal(folder)
    sweep = made.run("stage", name="tune gan", experiment="digits", tags=TAGS, params={"train": {"lr": 0.1}})
    trial = made.run("trial-0", name="tune gan 0", experiment="digits", tags=TAGS, params={}, parent="stage")
    for step in (10, 20):
        trial.log({"kid": 1 / step, "coverage": 0.5}, step)
    trial.figure("samples", torch.zeros(4, 1, 8, 8, dtype=torch.uint8), 20)
    note = folder.parent / "note.txt"
    note.write_text("kept")
    sweep.keep(note, "notes")
    if end:
        trial.end()
        sweep.end()
    return made


def runs_of(uri, experiment="digits"):
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return client, {run.info.run_name: run for run in found}


def check_runs(uri):
    client, runs = runs_of(uri)
    sweep, trial = runs["tune gan"], runs["tune gan 0"]
    assert trial.data.tags["mlflow.parentRunId"] == sweep.info.run_id
    assert sweep.data.params == {"train.lr": "0.1"}
    assert {key: trial.data.tags[key] for key in TAGS} == TAGS
    points = client.get_metric_history(trial.info.run_id, "kid")
    assert [(point.step, point.value) for point in points] == [(10, 0.1), (20, 0.05)]
    assert [file.path for file in client.list_artifacts(sweep.info.run_id, "notes")] == ["notes/note.txt"]
    assert client.list_artifacts(trial.info.run_id, "images")
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for run in runs.values():
        [given] = run.inputs.dataset_inputs
        assert (given.dataset.name, given.dataset.digest, given.tags[0].value) == ("digits", "d" * 36, "train")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real MLflow server on loopback."""
    home = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--artifacts-destination", str(home / "artifacts")]
    program = str(Path(sys.executable).with_name("mlflow"))
    command = [program, "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *options]
    log = (home / "log").open("w")
    quiet = os.environ | {"MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, env=quiet)
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, 15)
    process.wait()


def test_a_journal_reaches_a_server_whole_and_is_then_removed(server, tmp_path):
    made = journal(tmp_path / "journal" / "j")
    send(made.folder, server, tmp_path)
    check_runs(server)
    assert not made.folder.exists()


def test_a_journal_sent_in_pieces_gives_the_same_runs(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    made = journal(tmp_path / "journal" / "j", end=False)
    for _ in range(2):
        send(made.folder, uri, tmp_path)
    made = journal(tmp_path / "journal" / "j")
    send(made.folder, uri, tmp_path)
    check_runs(uri)


def test_a_journal_that_ends_while_it_is_being_sent_arrives_whole(tmp_path, monkeypatch):
    uri, folder = f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "journal" / "one"
    run = Journal(folder).run("stage", name="train gan", experiment="digits", tags=TAGS, params={})
    run.log({"kid": 0.1}, 10)
    connect = mlflow.connect

    def slowly(*where):
        run.log({"kid": 0.05}, 20)
        run.end()
        return connect(*where)

    monkeypatch.setattr(mlflow, "connect", slowly)
    send(folder, uri, tmp_path)
    monkeypatch.setattr(mlflow, "connect", connect)
    send(folder, uri, tmp_path)
    client, runs = runs_of(uri)
    [found] = runs.values()
    assert [point.step for point in client.get_metric_history(found.info.run_id, "kid")] == [10, 20]
    assert found.info.status == "FINISHED"
    assert not folder.exists()


def test_a_sender_killed_anywhere_leaves_no_second_run_and_no_second_point(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    folder = tmp_path / "journal" / 'j\'s "own"'  # no name is a filter
    made = journal(folder)
    events = made.events.read_text()
    for lines in range(1, events.count("\n") + 1):
        made.events.write_text("".join(events.splitlines(keepends=True)[:lines]))
        spare = shutil.copytree(folder, tmp_path / "spare", dirs_exist_ok=True)
        send(folder, uri, tmp_path)  # whose record of what was sent is then lost with it
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(spare, folder)
    send(folder, uri, tmp_path)
    client, _ = runs_of(uri)
    assert len(client.search_runs([client.get_experiment_by_name("digits").experiment_id])) == 2
    check_runs(uri)


def test_a_new_database_survives_several_openers_at_once(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    journals = [journal(tmp_path / "journal" / str(i)).folder for i in range(3)]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda folder: send(folder, uri, tmp_path), journals))
    client, _ = runs_of(uri)
    assert len(client.search_runs([client.get_experiment_by_name("digits").experiment_id])) == 6


def test_a_silent_server_costs_one_warning_and_loses_nothing(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    made = journal(tmp_path / ".genlib" / "journal" / "j")
    courier = Courier(tmp_path, made.folder)
    courier.start()
    warning = courier.close()
    assert "does not answer" in warning
    assert "\n" not in warning
    assert made.folder.exists()
    with pytest.raises(ServerUnreachable):
        send(made.folder, "http://127.0.0.1:9", tmp_path)

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/later.db")
    later = Journal(tmp_path / ".genlib" / "journal" / "later")
    later.run("stage", name="later", experiment="digits", tags={}, params={}).end()
    assert Courier(tmp_path, later.folder).close() is None
    _, runs = runs_of(f"sqlite:///{tmp_path}/later.db")
    assert set(runs) == {"later", "tune gan", "tune gan 0"}
    assert not list((tmp_path / ".genlib" / "journal").glob("*/events.jsonl"))


@pytest.mark.parametrize(
    "address", ["http://localhost:5000", "https://host", "sqlite:////x/y.db", "postgresql+psycopg2://h/d"]
)
def test_legal_addresses_pass(monkeypatch, tmp_path, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert tracking_uri(tmp_path) == address


def test_the_default_is_a_database_in_the_project(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense")
    with pytest.raises(InputError):
        Courier(tmp_path, tmp_path / "j")


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


def test_system_metrics_are_named_as_mlflow_names_them(tmp_path):
    import psutil
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor

    theirs = CPUMonitor()
    theirs.collect_metrics()
    run = Journal(tmp_path / "j").run("stage", name="train gan", experiment="digits", tags={}, params={})
    run.log({"loss": 1.0}, 10)
    *_, event = read_events(tmp_path / "j" / "events.jsonl")
    mine = {name: value for name, value in event["metrics"].items() if name != "loss"}
    assert {name for name in mine if "gpu" not in name} == {f"system/{name}" for name in theirs.metrics}
    assert 0 <= mine["system/cpu_utilization_percentage"] <= 100
    share, whole = mine["system/system_memory_usage_percentage"] / 100, psutil.virtual_memory().total / 1e6
    assert mine["system/system_memory_usage_megabytes"] == pytest.approx(share * whole)


@pytest.fixture
def one_moment(monkeypatch):
    """All events happen within one millisecond: a run is not told from another by its time."""
    monkeypatch.setattr("genlib.tracking.journal.time.time", lambda: 1.7e9)


def trained(folder, weights, stage="train"):
    """A training run that made these weights."""
    run = Journal(folder).run(
        "stage", name=f"{stage} gan", experiment="digits", tags={"genlib.stage": stage}, params={}
    )
    run.log({"loss": 1.0}, 10)
    run.tag({"genlib.model_sha256": weights})
    run.end()


def judged(folder, weights):
    """An evaluation of these weights."""
    run = Journal(folder).run("stage", name="evaluate gan", experiment="digits", tags={}, params={})
    run.log({"kid": 0.5}, 0)
    run.credit(weights, {"kid": 0.5}, 10)
    run.end()
    return folder


@pytest.mark.parametrize("early", [False, True], ids=["at_the_end", "on_the_way"])
@pytest.mark.usefixtures("one_moment")
def test_what_weights_were_found_to_be_is_told_of_the_run_that_trained_them(tmp_path, monkeypatch, early):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    journals = tmp_path / ".genlib/journal"
    trained(journals / "z", "a" * 64)  # waited while the server was down
    trained(journals / "y", "b" * 64)
    trained(journals / "x", "a" * 64, stage="promote")
    courier = Courier(tmp_path, judged(journals / "a", "a" * 64))
    if early:
        courier.start()
        until = time.monotonic() + 60
        while list(journals.iterdir()) and time.monotonic() < until:
            time.sleep(0.05)
        assert not list(journals.iterdir())
    assert courier.close() is None
    client, runs = runs_of(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([run.info.experiment_id for run in runs.values()][:1])
    told = {run.data.tags.get("genlib.model_sha256", "")[:1] + run.info.run_name: run.data.metrics for run in runs}
    assert {name for name, metrics in told.items() if metrics.get("eval/kid") == 0.5} == {"atrain gan"}
    assert told["evaluate gan"]["kid"] == 0.5


def test_what_was_judged_and_not_trained_here_is_told_of_its_own_run_only(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    folder = judged(tmp_path / "journal" / "j", "a" * 64)
    send(folder, uri, tmp_path)
    _, runs = runs_of(uri)
    assert set(runs) == {"evaluate gan"} and not folder.exists()


def test_a_number_that_no_stage_made_is_a_run_where_there_is_a_place_for_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def tell():
        single("benchmarks", "speed", {"ratio": 0.9}, tags=TAGS, params={"n": 3}, notes={"row.json": "{}"})

    tell()
    assert not list(tmp_path.iterdir())
    mlflow.connect(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    tell()
    client, runs = runs_of(f"sqlite:///{tmp_path}/mlflow.db", "benchmarks")
    assert runs["speed"].data.metrics["ratio"] == 0.9 and runs["speed"].data.params == {"n": "3"}
    kept = {file.path for file in client.list_artifacts(runs["speed"].info.run_id)}
    assert kept == {"row.json", "requirements.txt"}


def test_a_benchmark_is_a_row_and_a_run(tmp_path, monkeypatch, capsys):
    from benchmarks import results

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(results, "FILE", tmp_path / "benchmarks/results.json")
    for ratio in (0.5, 0.9):
        results.record("speed", ratio, 0.8, at_least=True, detail={"seconds": [1, 2]})
    [row] = json.loads((tmp_path / "benchmarks/results.json").read_text())
    assert row["ok"] and row["ratio"] == 0.9
    client, _ = runs_of(f"sqlite:///{tmp_path}/mlflow.db", "benchmarks")
    found = client.search_runs([client.get_experiment_by_name("benchmarks").experiment_id])
    assert sorted(run.data.metrics["ratio"] for run in found) == [0.5, 0.9]
    assert "NOT REACHED" in capsys.readouterr().out
