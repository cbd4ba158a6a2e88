"""`make submit ADDRESS=http://head:8265`: the graph on a cluster, its results in this workspace.

A job gets the files that git tracks and the new ones of the graph, but no secrets and nothing from outside, and what it
needs to know in a file that only its user reads there. Results travel by a DVC remote in `ray.storage_path`; beside it
each job has a folder of its own, named by what was submitted from where: the same command follows or resumes it.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from genlib import provenance
from genlib.errors import InputError, WorkersLost, run_cli
from genlib.files import download, file_sha256, json_sha256, upload, write_yaml
from genlib.params import load_params, read_yaml
from pipelines.stage import JOB_NAME_ENV, ROOT

MLFLOW_ENV_NAMES = [f"MLFLOW_TRACKING_{name}" for name in ("URI", "USERNAME", "PASSWORD", "TOKEN")]
QUIET_ENV = {
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
}
STOP_ENV = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "600"}  # to save a checkpoint and push
JOB_ENV_FILE = "job_env.json"
SECRET = re.compile(
    r"(^|/)\.(env|netrc|pypirc|npmrc|pgpass|ssh|aws|kube|gnupg|docker|azure)|\.env$|(^|/)id_(rsa|dsa|ecdsa|ed25519)|"
    r"\.(pem|key|p12|pfx|jks|keystore|kdbx|ovpn|gpg|asc)$|(secret|credential|passw|token|service.?account)[^/]*$(?<!\.py)",
    re.IGNORECASE,
)
OF_THE_GRAPH = re.compile(
    r"(genlib|pipelines|presets|data(?!/raw/|/prepared/))/|(params\.yaml|dvc\.(yaml|lock)|\.dvc/config|\.dvcignore)$"
)
INTERRUPTED_MESSAGE = "no longer followed; the job goes on, and `make submit` again brings its results"


@dataclass(frozen=True)
class RemoteResults:
    """The results of the checkout `root`: a DVC remote in `storage`, and the folder of the job `name` there."""

    root: Path
    storage: str
    name: str

    @property
    def job_folder(self) -> str:
        return f"{self.storage}/jobs/{self.name}"

    def run(self, *module: str) -> None:
        """Run a module as a program in `root`, and wait for it after Ctrl-C, which it gets as well; raises InputError
        where it failed, and has printed why."""
        process = subprocess.Popen([sys.executable, "-m", *module], cwd=self.root, env=os.environ | QUIET_ENV)
        try:
            code = process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise
        if code:
            raise InputError(f"{' '.join(module)}: got exit code {code}, expected 0; the reason is above")

    def add_remote(self) -> None:
        self.run("dvc", "remote", "add", "--local", "--force", "jobs", f"{self.storage}/dvc")

    def push(self) -> None:
        self.run("dvc", "push", "--quiet", "--remote", "jobs")

    def pull(self) -> None:
        self.run("dvc", "pull", "--quiet", "--force", "--allow-missing", "--remote", "jobs")

    def save(self) -> None:
        """Leave in storage what is tracked, the checkpoints, and what ended, with its dvc.lock last."""
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(archive := Path(folder) / "state.tar", "w") as tar:
                for path in sorted(self.root.glob(".genlib/runs/**/*")) + sorted(self.root.glob(".genlib/state/**/*")):
                    if path.is_file() and path.name != "published.json":  # it may be another MLflow that reads it next
                        tar.add(path, path.relative_to(self.root / ".genlib"))
            upload(archive, f"{self.job_folder}/state.tar")
        self.push()
        if (self.root / "dvc.lock").exists():
            upload(self.root / "dvc.lock", f"{self.job_folder}/dvc.lock")

    def load(self, state: Path, parts: tuple[str, ...]) -> None:
        """Take from storage what `save` left, if it did: these parts of the state, and the stages that ended."""
        with tempfile.TemporaryDirectory() as folder, suppress(FileNotFoundError):
            archive, lock = Path(folder) / "state.tar", Path(folder) / "dvc.lock"
            download(f"{self.job_folder}/state.tar", archive)
            with tarfile.open(archive) as tar:
                members = [each for each in tar if each.name.partition("/")[0] in parts]
                tar.extractall(state, members, filter="data")
            download(f"{self.job_folder}/dvc.lock", lock)
            own = self.root / "dvc.lock"
            stages = read_yaml(own).get("stages", {}) if own.exists() else {}
            write_yaml({"schema": "2.0", "stages": stages | read_yaml(lock)["stages"]}, own)


def submit(address: str, stage: str) -> None:
    """Run the graph, or one stage of it and what that needs, on a cluster."""
    from genlib.distributed.jobs import submit_job
    from genlib.tracking.mlflow import publish_rest

    storage, project_dir = _shared_storage(), provenance.main_worktree(ROOT)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _copy_project(folder)
        results = RemoteResults(ROOT, storage, _job_name(folder, stage))
        results.add_remote()
        results.push()
        env = {name: os.environ[name] for name in MLFLOW_ENV_NAMES if os.environ.get(name)}
        env |= {"GENLIB_JOB": stage, "GENLIB_STORAGE": storage, JOB_NAME_ENV: results.name, **provenance.as_env(ROOT)}
        (folder / JOB_ENV_FILE).touch(0o600)
        (folder / JOB_ENV_FILE).write_text(json.dumps(env))
        job = (results.name, "python -m pipelines.job", QUIET_ENV | STOP_ENV)
        lost = None
        try:
            submit_job(address, folder, *job, lambda line: print(line, flush=True))
        except WorkersLost as error:  # what ended before is brought as well
            lost = error
    results.load(project_dir / ".genlib", ("runs",))
    results.pull()
    for line in publish_rest(project_dir):
        print(line)
    if lost:
        raise lost
    print("the results are here: dvc status, dvc metrics show")


def _job_name(folder: Path, stage: str) -> str:
    """A name for this content of `folder`, but for its results, submitted from this checkout."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / "dvc.lock")
    content = {str(path.relative_to(folder)): file_sha256(path) for path in paths}
    return f"genlib-{json_sha256([socket.gethostname(), str(ROOT), stage, content])[:16]}"


def _shared_storage() -> str:
    """`ray.storage_path`, which this machine and the cluster's head must both see."""
    path = load_params().ray.storage_path
    if "://" not in path and not Path(path).is_absolute():
        expected = "an absolute path that every node and this machine see, or a URL (s3://bucket/folder)"
        raise InputError(f"params.yaml: ray.storage_path: got {path!r}, expected for a job: {expected}")
    return path.rstrip("/")


def _copy_project(folder: Path) -> None:
    """Copy the files that git tracks, and those of the graph that it would track, without secrets; of links, those to
    another such file."""
    tracked = _list_files("--cached")
    names = dict.fromkeys([*tracked, *filter(OF_THE_GRAPH.match, _list_files("--others", "--exclude-standard"))])
    sent = {name for name in names if (ROOT / name).is_file() and not SECRET.search(name)}
    for name in sorted(sent):
        if os.path.relpath((ROOT / name).resolve(), ROOT.resolve()) not in sent:
            sent.remove(name)
    for name in sent:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    if left := sorted(name for name in names if name not in sent and (ROOT / name).exists()):
        print(f"not sent, since they may be secrets or lie outside the project: {', '.join(left)}")


def _list_files(*options: str) -> list[str]:
    """The names that git lists; outside git, those of all files are new ones."""
    done = subprocess.run(["git", "ls-files", "-z", *options], cwd=ROOT, capture_output=True)
    if done.returncode:
        return [] if "--cached" in options else [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    return [name for name in os.fsdecode(done.stdout).split("\0") if name]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.submit", description=submit.__doc__)
    parser.add_argument("address", help="of the job server: http://host:port")
    parser.add_argument("--stage", default="", metavar="NAME", help="as dvc.yaml names it: train@gan [all]")
    args = parser.parse_args()
    sys.exit(run_cli(lambda: submit(args.address, args.stage), INTERRUPTED_MESSAGE))


if __name__ == "__main__":
    main()
