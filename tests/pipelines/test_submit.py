"""What a job gets, what it is called, and what it leaves, without a cluster; with one: tests/faults/test_submit.py."""

import json
import subprocess
from types import SimpleNamespace

import pytest

from genlib.distributed import jobs
from genlib.errors import InputError, WorkersLost
from genlib.params import read_yaml
from genlib.provenance import COMMIT_ENV
from pipelines import job, stage, submit
from pipelines.submit import JOB_ENV_FILE, RemoteResults

SECRETS = [".env", ".env.local", "data/prod.env", "data/id_ed25519", "genlib/key.pem", "presets/credentials.json"]
LOCK = "schema: '2.0'\nstages:\n  {}:\n    cmd: {}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    files = ["genlib/model.py", "genlib/tokenizer.py", "notes.txt", "data/raw/huge.png", ".gitignore", *SECRETS]
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / ".gitignore").write_text("data/raw\n.cache\n")
    (folder / "params.yaml").write_text(f"ray: {{storage_path: {tmp_path}/storage}}")
    (folder / ".cache").write_text("ignored")
    outside = tmp_path / "outside.yaml"
    outside.write_text("not ours")
    links = {"a": outside, "b": "../.env", "c": "../.cache", "d": "none", "e": "model.py", "f": "a"}
    for name, target in links.items():
        (folder / "genlib" / name).symlink_to(target)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    monkeypatch.setattr(submit, "ROOT", folder)
    return folder


def copied(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("case", ["new files", "all tracked", "no git"])
def test_a_job_gets_no_secrets_and_nothing_from_outside(project, tmp_path, capsys, case):
    """The kind of fault: whatever lies in the folder leaves the machine. `.env` is not ignored by git, and a link was
    sent as the file that it leads to."""
    expected = {"genlib/model.py", "genlib/tokenizer.py", "genlib/e", "params.yaml"}
    if case == "all tracked":
        subprocess.run(["git", "add", "-A"], cwd=project, check=True)
        expected |= {"notes.txt", ".gitignore"}
    elif case == "no git":
        (project / ".git").rename(project / ".no-git")
    submit._copy_project(tmp_path / "copy")
    assert copied(tmp_path / "copy") == expected
    assert "genlib/key.pem" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda folder: (folder / "dvc.lock").write_text("x"), True),
        (lambda folder: (folder / "params.yaml").write_text("x"), False),
        (lambda folder: (folder / "new.py").write_text(""), False),
    ],
    ids=["its own results", "other params", "other code"],
)
def test_a_job_is_named_by_what_it_runs(tmp_path, monkeypatch, change, same):
    (tmp_path / "params.yaml").write_text("")
    name = submit._job_name(tmp_path, "train@gan")
    change(tmp_path)
    assert (submit._job_name(tmp_path, "train@gan") == name) is same


def test_jobs_of_two_checkouts_or_stages_have_names_of_their_own(tmp_path, monkeypatch):
    """The kind of fault: one name for two. Two jobs submitted at once exchanged their results."""
    names = {submit._job_name(tmp_path, "train@gan"), submit._job_name(tmp_path, "train@vae")}
    monkeypatch.setattr(submit, "ROOT", tmp_path / "another")
    assert len(names | {submit._job_name(tmp_path, "train@gan")}) == 3


def test_a_job_goes_on_from_what_a_stopped_one_left_and_no_other_does(tmp_path, monkeypatch):
    """The kind of fault: what was done is lost with a temporary folder. Tracked runs, checkpoints and stages that ended
    are kept; what MLflow has of a run is not, since it may be another MLflow."""
    monkeypatch.setattr(RemoteResults, "push", lambda results: None)
    storage = str(tmp_path / "storage")
    stopped, again, other = (tmp_path / name for name in ("stopped", "again", "other"))
    for path, text in {
        ".genlib/runs/train-1/run.json": "{}",
        ".genlib/runs/train-1/published.json": "{}",
        ".genlib/state/train/gan/1.safetensors": "x",
        ".genlib/views/1": "x",
        "dvc.lock": LOCK.format("prepare", "there"),
    }.items():
        (stopped / path).parent.mkdir(parents=True, exist_ok=True)
        (stopped / path).write_text(text)
    RemoteResults(stopped, storage, "one").save()
    for folder, name in ((again, "one"), (other, "two")):
        folder.mkdir()
        (folder / "dvc.lock").write_text(LOCK.format("report", "here"))
        RemoteResults(folder, storage, name).load(folder / ".genlib", ("runs", "state"))
    assert copied(again / ".genlib") == {"runs/train-1/run.json", "state/train/gan/1.safetensors"}
    assert set(read_yaml(again / "dvc.lock")["stages"]) == {"prepare", "report"}
    assert copied(other) == {"dvc.lock"}


def test_what_a_job_needs_to_know_is_no_part_of_its_record(project, tmp_path, monkeypatch):
    """The kind of fault: a password where others read it. The environment of a job is shown by Ray's pages and logs."""
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cr3t")
    monkeypatch.setenv(COMMIT_ENV, "0" * 40)
    monkeypatch.setattr(RemoteResults, "run", lambda *words: None)
    monkeypatch.setattr(submit, "_shared_storage", lambda: str(tmp_path / "storage"))
    monkeypatch.setattr("genlib.tracking.mlflow.publish_rest", lambda folder: [])
    seen = {}

    def submit_job(address, folder, name, command, env, log):
        seen.update(env=env, name=name, mode=(folder / JOB_ENV_FILE).stat().st_mode & 0o777)
        seen["file"] = json.loads((folder / JOB_ENV_FILE).read_text())
        raise WorkersLost("stopped")

    monkeypatch.setattr(jobs, "submit_job", submit_job)
    with pytest.raises(WorkersLost):
        submit.submit("http://127.0.0.1:8265", "train@gan")
    assert "s3cr3t" not in json.dumps(seen["env"]) and seen["mode"] == 0o600
    assert seen["file"]["MLFLOW_TRACKING_PASSWORD"] == "s3cr3t"
    assert seen["file"][stage.JOB_NAME_ENV] == seen["name"]


def test_a_job_that_is_stopped_leaves_what_ended_and_no_folder(project, tmp_path, monkeypatch):
    """The kind of fault: a signal that skips the end of a block."""
    env = {"GENLIB_STORAGE": str(tmp_path), stage.JOB_NAME_ENV: "one", "GENLIB_JOB": ""}
    (project / JOB_ENV_FILE).write_text(json.dumps(env))
    monkeypatch.setattr(job, "ROOT", project)
    monkeypatch.setattr(job.os, "environ", dict(job.os.environ))
    monkeypatch.setattr(job.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(job.signal, "signal", lambda number, handler: None)
    (project / "genlib/d").unlink()
    saved = []

    def run(results, *words):
        if "repro" in words:
            raise KeyboardInterrupt

    monkeypatch.setattr(RemoteResults, "run", run)
    monkeypatch.setattr(RemoteResults, "save", lambda results: saved.append(copied(results.root)))
    with pytest.raises(KeyboardInterrupt):
        job.run_submitted_job()
    assert len(saved) == 1 and JOB_ENV_FILE not in saved[0]
    assert not list(tmp_path.glob("genlib-*"))


class Client:
    """A job server with one job."""

    def __init__(self, status):
        self.status, self.calls = status, []

    def list_jobs(self):
        from ray.job_submission import JobStatus

        return [SimpleNamespace(submission_id="one", status=JobStatus(self.status))] if self.status else []

    def delete_job(self, name):
        self.calls.append("delete")


@pytest.mark.parametrize(
    ("status", "running", "calls"),
    [("", False, []), ("RUNNING", True, []), ("PENDING", True, []), ("STOPPED", False, ["delete"])],
)
def test_a_job_that_runs_is_followed_and_one_that_ended_gives_its_name_back(status, running, calls):
    client = Client(status)
    assert jobs._is_running(client, "one") is running
    assert client.calls == calls


def test_one_process_at_a_time_runs_a_stage(tmp_path, monkeypatch):
    """The kind of fault: two processes write one folder. DVC was killed, and the stage that it had started lived on."""
    monkeypatch.setattr(stage, "ROOT", tmp_path)
    first = stage.Stage("train", "gan", None)
    refused = pytest.raises(InputError, match=r"train gan: got process \d+, which runs this stage already")
    with first.lock(), stage.Stage("train", "vae", None).lock(), refused, first.lock():
        pass
    with first.lock():
        assert (tmp_path / ".genlib/locks/train-gan").read_text().isdigit()
