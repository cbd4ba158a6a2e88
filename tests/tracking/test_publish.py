"""MLflow holds what run folders hold: nested runs, each point once, whatever is killed or refused on the way."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tracking.runs import TAGS, by_name, points, published, start, swept, trained

from genlib.tracking import mlflow
from genlib.tracking.mlflow import all_runs, log_run, pending_runs, publish, publish_all
from genlib.tracking.run_folder import HEADER, METRICS, PUBLISHED, read_header

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports


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


def check_sweep(uri):
    client, _ = published(uri)
    runs = by_name(uri)
    sweep, trial = runs["tune gan"], runs["tune gan trial 0"]
    assert trial.data.tags["mlflow.parentRunId"] == sweep.info.run_id
    assert (sweep.data.params, trial.data.params) == ({"train.lr": "0.1"}, {"train.lr": "0.2"})
    assert {key: trial.data.tags[key] for key in TAGS} == TAGS
    assert points(client, trial, "kid") == [(10, 0.1), (20, 0.05)]
    assert [file.path for file in client.list_artifacts(sweep.info.run_id, "notes")] == ["notes/note.txt"]
    images = [file.path for file in client.list_artifacts(trial.info.run_id, "images")]
    assert [path.endswith(end) for end in (".png", ".webp") for path in images].count(True) == len(images) == 2
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    for run in runs.values():
        [given] = run.inputs.dataset_inputs
        assert (given.dataset.name, given.dataset.digest, given.tags[0].value) == ("digits", "d" * 36, "train")


def test_a_run_reaches_a_server_whole(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    folder = swept(tmp_path)
    for _ in range(2):
        assert publish(folder) == []
        check_sweep(server)
    assert pending_runs(tmp_path) == []


def test_a_run_is_published_while_it_grows(uri, tmp_path):
    folder = swept(tmp_path, end=False)
    assert publish(folder) == publish(folder) == []
    assert {run.info.status for run in by_name(uri).values()} == {"RUNNING"}
    swept(tmp_path)
    assert publish(folder) == []
    check_sweep(uri)


def test_a_run_that_ends_while_it_is_published_is_whole_the_next_time(uri, tmp_path, monkeypatch):
    run, find_or_create = start(tmp_path), mlflow._find_or_create
    run.log({"kid": 0.1}, 10)

    def slowly(*arguments):
        run.log({"kid": 0.05}, 20)
        run.end()
        return find_or_create(*arguments)

    monkeypatch.setattr(mlflow, "_find_or_create", slowly)
    for _ in range(2):
        assert publish(run.path) == []
    client, [found] = published(uri)
    assert points(client, found, "kid") == [(10, 0.1), (20, 0.05)]
    assert found.info.status == "FINISHED" and pending_runs(tmp_path) == []


def test_a_publisher_killed_anywhere_leaves_no_second_run_and_no_second_point(uri, tmp_path, monkeypatch):
    """Each call to MLflow in turn is the last one of a publisher, which has no time to write what it did."""
    connect, folder, done = mlflow.connect, swept(tmp_path), False
    calls_until_kill = 0
    while not done:
        calls_until_kill += 1
        calls = iter(range(calls_until_kill))

        class Killed(BaseException):
            pass

        class Client:
            def __init__(self, client):
                self.client, self.tracking_uri = client, client.tracking_uri

            def __getattr__(self, name):
                def call(*arguments, **options):
                    result = getattr(self.client, name)(*arguments, **options)
                    if next(calls, None) is None:  # noqa: B023
                        raise Killed
                    return result

                return call

        monkeypatch.setattr(mlflow, "connect", lambda *where: Client(connect(*where)))
        before = {path: path.read_bytes() for path in folder.rglob(PUBLISHED)}
        try:
            done = publish(folder) == []
        except Killed:
            for path in folder.rglob(PUBLISHED):
                path.write_bytes(before[path]) if path in before else path.unlink()
        assert calls_until_kill < 100
    assert calls_until_kill > 10
    check_sweep(uri)


def test_all_runs_can_be_published_to_another_place(uri, tmp_path, monkeypatch):
    assert publish(swept(tmp_path)) == []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", later := f"sqlite:///{tmp_path}/later.db")
    assert pending_runs(tmp_path) == []
    for _ in range(2):
        assert publish_all(tmp_path, all_runs(tmp_path)) == []
        check_sweep(later)


def test_a_silent_server_costs_one_line_and_loses_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    swept(tmp_path), trained(tmp_path)
    [line] = publish_all(tmp_path, pending_runs(tmp_path))
    assert "does not answer" in line and "genlib sync" in line and "\n" not in line
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/later.db")
    assert publish_all(tmp_path, pending_runs(tmp_path)) == []
    assert set(by_name(f"sqlite:///{tmp_path}/later.db")) == {"train gan", "tune gan", "tune gan trial 0"}


def break_metric(folder):
    with (folder / METRICS).open("a") as file:
        file.write(json.dumps({"time": 1, "step": 30, "metrics": {"no * name": 1.0}}) + "\n")


def break_params(folder):
    header = read_header(folder)
    (folder / HEADER).write_text(json.dumps(header | {"params": {"no * name": "1"}}))


def break_header(folder):
    (folder / HEADER).write_bytes(b"{")


def forget_experiment(folder):
    (folder / HEADER).write_text(json.dumps({"name": "train bad"}))


@pytest.mark.parametrize("fault", [break_metric, break_params, break_header, forget_experiment])
def test_a_run_that_is_refused_or_broken_blocks_no_other(uri, tmp_path, fault):
    trained(tmp_path, "train before")
    fault(bad := trained(tmp_path, "train bad"))
    trained(tmp_path, "train after")
    for _ in range(2):
        [line] = publish_all(tmp_path, pending_runs(tmp_path))
        assert str(bad) in line and "\n" not in line
    runs = by_name(uri)
    assert {runs[name].info.status for name in ("train before", "train after")} == {"FINISHED"}
    assert pending_runs(tmp_path) == [bad]


def test_what_was_deleted_on_the_pages_blocks_nothing(uri, tmp_path, capsys):
    """Deletions in MLflow: of an experiment, whose runs were never taken again, and of a run (mlflow#2651)."""
    trained(tmp_path, "train before")
    grown = start(tmp_path, "train deleted")
    assert publish_all(tmp_path, pending_runs(tmp_path)) == []
    client, _ = published(uri)
    client.delete_run(by_name(uri)["train deleted"].info.run_id)
    grown.log({"loss": 1.0}, 10)
    assert publish_all(tmp_path, pending_runs(tmp_path)) == pending_runs(tmp_path) == []
    client.delete_experiment(client.get_experiment_by_name("digits").experiment_id)
    trained(tmp_path, "train after")
    assert publish_all(tmp_path, pending_runs(tmp_path)) == pending_runs(tmp_path) == []
    assert "is restored" in capsys.readouterr().err
    assert {"train before", "train after"} <= set(by_name(uri))


@pytest.mark.parametrize("content", [b"", b"[]", b"{"])
def test_a_broken_note_of_what_is_published_doubles_nothing(uri, tmp_path, content):
    folder = swept(tmp_path, end=False)
    assert publish(folder) == []
    for path in folder.rglob(PUBLISHED):
        path.write_bytes(content)
    swept(tmp_path)
    assert publish(folder) == []
    check_sweep(uri)


def scored(project, weights):
    """An evaluation of these weights."""
    with start(project, "evaluate gan", {}) as run:
        run.log({"kid": 0.5}, 0)
        run._append(step=10, metrics={"eval/kid": 0.5}, weights=weights)
    return run.path


def test_scores_reach_the_run_that_trained_the_weights(uri, tmp_path, monkeypatch):
    monkeypatch.setattr("genlib.tracking.run_folder.time.time", lambda: 1.7e9)  # no run is found by its time alone
    scored(tmp_path, "a" * 64)
    trained(tmp_path, "train z", "a" * 64)
    trained(tmp_path, "train y", "b" * 64)
    trained(tmp_path, "promote x", "a" * 64, stage="promote")
    assert publish_all(tmp_path, pending_runs(tmp_path)) == [] == pending_runs(tmp_path)
    runs = by_name(uri)
    assert [name for name, run in runs.items() if run.data.metrics.get("eval/kid") == 0.5] == ["train z"]
    assert runs["evaluate gan"].data.metrics["kid"] == 0.5


def test_scores_wait_for_a_training_run_that_was_refused(uri, tmp_path):
    folder = trained(tmp_path)
    header = (folder / HEADER).read_text()
    break_params(folder)
    scored(tmp_path, "a" * 64)
    assert len(publish_all(tmp_path, pending_runs(tmp_path))) == 2
    assert by_name(uri)["evaluate gan"].info.status == "FINISHED"
    (folder / HEADER).write_text(header)
    assert publish_all(tmp_path, pending_runs(tmp_path)) == []
    client, _ = published(uri)
    assert points(client, by_name(uri)["train gan"], "eval/kid") == [(10, 0.5)]
    assert pending_runs(tmp_path) == []


def test_scores_of_weights_from_elsewhere_stay_with_their_own_run(uri, tmp_path):
    assert publish(scored(tmp_path, "a" * 64)) == []
    assert set(by_name(uri)) == {"evaluate gan"} and pending_runs(tmp_path) == []


def test_numbers_of_no_stage_are_a_run_where_runs_are_kept(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def log():
        log_run("benchmarks", "speed", {"ratio": 0.9}, tags=TAGS, params={"n": 3}, texts={"row.json": "{}"})

    database = (tmp_path / "mlflow.db").rename(tmp_path / "away")
    log()
    assert list(tmp_path.iterdir()) == [database]
    database.rename(tmp_path / "mlflow.db")
    log()
    client, [run] = published(uri, "benchmarks")
    assert run.data.metrics["ratio"] == 0.9 and run.data.params == {"n": "3"}
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"row.json", "requirements.txt"}
