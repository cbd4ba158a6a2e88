"""The run folder: everything is on disk at once and once, also across a killed process."""

import json

import pytest
import torch
from tracking.runs import start, swept

from genlib.tracking import run_folder
from genlib.tracking.run_folder import HEADER, METRICS, read_header, read_rows
from genlib.training.loop import Progress

SAMPLES = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)


def test_what_is_logged_is_on_disk(tmp_path):
    run = start(tmp_path, params={"train": {"lr": 0.1}})
    run.log({"loss": 1.0}, step=10)
    run.tag({"a": "b"})
    header = read_header(run.path)
    assert header["params"] == {"train.lr": "0.1"} and header["tags"]["a"] == "b" and "status" not in header
    [row] = read_rows(run.path)
    assert row["step"] == 10 and row["metrics"]["loss"] == 1.0
    run.end()
    assert read_header(run.path)["status"] == "FINISHED"


def test_a_process_that_comes_again_writes_nothing_twice(tmp_path):
    for _ in range(2):
        run = start(tmp_path)
        for step in (10, 20):
            run.log({"loss": 1.0}, step)
            run.log_images("samples", SAMPLES, step)
    run.log({"loss": 0.5}, 30)
    assert [row["step"] for row in read_rows(run.path)] == [10, 20, 30]
    assert len(list(run.path.glob("images/samples/*"))) == 2
    assert len(list((tmp_path / ".genlib/runs").iterdir())) == 1


def test_a_torn_last_line_is_cut_off_and_the_run_goes_on(tmp_path):
    run = start(tmp_path)
    run.log({"loss": 1.0}, 10)
    with (run.path / METRICS).open("a") as file:
        file.write('{"step": 20, "metr')
    assert [row["step"] for row in read_rows(run.path)] == [10]
    start(tmp_path).log({"loss": 0.5}, 20)
    assert [row["step"] for row in read_rows(run.path)] == [10, 20]


@pytest.mark.parametrize("line", [b"\xff\x00", b'{"step": 1', b"[1, 2]", b'"word"', b'{"step": 1}', b""])
def test_a_broken_line_is_left_out(tmp_path, line):
    run = start(tmp_path)
    run.log({"loss": 1.0}, 10)
    with (run.path / METRICS).open("ab") as file:
        file.write(line + b"\n")
    run.log({"loss": 0.5}, 20)
    assert [row["step"] for row in read_rows(run.path)] == [10, 20]
    assert start(tmp_path).last_step == 20


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_broken_header_is_written_again(tmp_path, content):
    run = start(tmp_path)
    run.log({"loss": 1.0}, 10)
    (run.path / HEADER).write_bytes(content)
    again = start(tmp_path)
    assert again.path == run.path and read_header(run.path)["name"] == "train gan" and again.last_step == 10


def test_a_run_that_ended_is_not_continued(tmp_path):
    folders = []
    for _ in range(3):
        with start(tmp_path) as run:
            folders.append(run.path)
    assert len(set(folders)) == 3


@pytest.mark.parametrize(
    ("error", "status"), [(None, "FINISHED"), (ValueError, "FAILED"), (SystemExit, "FAILED"), (KeyboardInterrupt, None)]
)
def test_a_run_ends_as_its_body_does(tmp_path, error, status):
    def body():
        with start(tmp_path):
            if error:
                raise error

    if error:
        with pytest.raises(error):
            body()
    else:
        body()
    assert read_header(tmp_path / ".genlib/runs/train-gan-1").get("status") == status


def test_what_is_nested_ends_with_the_run(tmp_path):
    folder = swept(tmp_path, end=False)
    start(tmp_path, "tune gan").end("FAILED")
    assert read_header(folder)["status"] == "FAILED"
    assert read_header(folder / "nested/trial-0")["status"] == "KILLED"
    assert read_header(swept(tmp_path) / "nested/trial-0")["status"] == "FINISHED"


def test_a_record_that_cannot_be_written_fails_no_work(tmp_path, capsys):
    """Troubles of tracking: a full or read-only disk ended a stage whose weights were written."""
    (tmp_path / ".genlib").write_text("a file, where a folder should be")
    with start(tmp_path) as run:
        run.log({"loss": 1.0}, 10)
        run.log_text("x.txt", "x")
        run.log_images("samples", SAMPLES, 10)
        run.log_artifact(tmp_path / ".genlib")
        run.tag({"a": "b"})
    assert run.header["status"] == "FINISHED"
    assert capsys.readouterr().err.count("cannot be written") == 1


def test_old_runs_that_are_published_are_pruned(tmp_path, monkeypatch):
    """Leftovers: `.genlib/runs` grew for ever. What MLflow lacks stays, of a trial too."""
    monkeypatch.setattr(run_folder, "MAX_RUNS", 4)
    monkeypatch.setattr(run_folder, "KEPT_RUNS", 2)
    for number in range(6):
        with start(tmp_path, f"train {number}") as run:
            run.header["start_time"] = number
            run.start_nested("trial-0", "trial", {})
        for folder in (run.path, run.path / "nested/trial-0"):
            (folder / "published.json").write_text(
                json.dumps({"is_whole": number != 0 or folder != run.path / "nested/trial-0"})
            )
        if number == 4:
            assert run_folder.prune_runs(tmp_path) == []
    [line] = run_folder.prune_runs(tmp_path)
    assert "3 published runs were removed, 3 newer ones stay" in line
    kept = {path.name for path in (tmp_path / ".genlib/runs").iterdir()}
    assert kept == {"train-0-1", "train-4-1", "train-5-1"}
    assert run_folder.prune_runs(tmp_path) == []


def test_artifacts_are_copies(tmp_path):
    source = tmp_path / "x.txt"
    source.write_text("as it was")
    run = start(tmp_path)
    run.log_artifact(source, "some/where")
    source.unlink()
    assert (run.path / "artifacts/some/where/x.txt").read_text() == "as it was"


def test_a_report_has_its_samples_and_the_rate(tmp_path):
    run = start(tmp_path)
    for progress in (Progress(0, 20, {}, resumed=True), Progress(10, 20, {"loss": 1.0}, samples=SAMPLES)):
        run.report(progress)
    [row] = read_rows(run.path)
    assert row["step"] == 10 and row["metrics"]["loss"] == 1.0 and row["metrics"]["images_per_second"] > 0
    assert (run.path / "images/samples/10.png").exists()


def test_a_run_is_tagged_with_the_state_of_its_gan(tmp_path):
    run, states = start(tmp_path), []
    for step, accuracy in enumerate((0.6, 0.6, 1.0, 0.6)):
        run.report(Progress(step, 5, {"d_real": accuracy, "d_fake": accuracy}))
        states.append(read_header(run.path)["tags"]["genlib.health"])
    run.report(Progress(5, 5, {"d_real": 0.6, "d_fake": 0.6, "duplicate_rate": 0.8}))
    assert states == ["balanced", "balanced", "D wins", "balanced"]
    assert read_header(run.path)["tags"]["genlib.health"] == "collapsed"


def test_scores_of_the_same_weights_are_written_once(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    for key in ("images", "total_images"):  # of genlib 0.1, and of now
        (tmp_path / "config.json").write_text(json.dumps({"train": {key: 96}}))
        start(tmp_path, "evaluate gan").log_to_training_run(tmp_path, {"kid": 0.5})
    [row] = read_rows(tmp_path / ".genlib/runs/evaluate-gan-1")
    assert row["metrics"] == {"eval/kid": 0.5} and row["step"] == 96 and len(row["weights"]) == 64


def test_system_metrics_are_named_as_mlflow_names_them(tmp_path):
    import psutil
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor

    theirs = CPUMonitor()
    theirs.collect_metrics()
    run = start(tmp_path)
    run.log({"loss": 1.0}, 10)
    [row] = read_rows(run.path)
    mine = {name: value for name, value in row["metrics"].items() if name != "loss"}
    assert {name for name in mine if "gpu" not in name} == {f"system/{name}" for name in theirs.metrics}
    assert 0 <= mine["system/cpu_utilization_percentage"] <= 100
    share, whole = mine["system/system_memory_usage_percentage"] / 100, psutil.virtual_memory().total / 1e6
    assert mine["system/system_memory_usage_megabytes"] == pytest.approx(share * whole)
