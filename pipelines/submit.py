"""`make submit ADDRESS=http://head:8265`: the graph on a cluster, its results in this workspace.

A job gets the files that git knows or would know, and as environment variables the commit and whether code or params
differ from it. Results travel by a DVC remote in `ray.storage_path`: those of this workspace are pushed first, those of
the job pulled at the end with its dvc.lock, so that nothing runs again here.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from genlib import provenance
from genlib.errors import InputError, run_cli
from genlib.files import download
from genlib.params import load_params
from pipelines.stage import ROOT

MLFLOW_ENV_NAMES = [f"MLFLOW_TRACKING_{name}" for name in ("URI", "USERNAME", "PASSWORD", "TOKEN")]
QUIET_ENV = {
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
}
INTERRUPTED_MESSAGE = "no longer followed; the job goes on, and `make submit` again brings its results"


@dataclass(frozen=True)
class RemoteResults:
    """The results of the checkout `root` and a DVC remote for them in `storage`, beside its dvc.lock."""

    root: Path
    storage: str

    def run(self, *module: str) -> None:
        """Run a module as a program in `root`; raises InputError where it failed, and has printed why."""
        done = subprocess.run([sys.executable, "-m", *module], cwd=self.root, env=os.environ | QUIET_ENV)
        if done.returncode:
            raise InputError(f"{' '.join(module)}: got exit code {done.returncode}, expected 0; the reason is above")

    def add_remote(self) -> None:
        self.run("dvc", "remote", "add", "--local", "--force", "jobs", f"{self.storage}/dvc")

    def push(self) -> None:
        self.run("dvc", "push", "--quiet", "--remote", "jobs")

    def pull(self) -> None:
        self.run("dvc", "pull", "--quiet", "--force", "--allow-missing", "--remote", "jobs")


def submit(address: str, stage: str) -> None:
    """Run the graph, or one stage of it and what that needs, on a cluster."""
    from genlib.distributed.jobs import submit_job

    results = RemoteResults(ROOT, _shared_storage())
    results.add_remote()
    results.push()
    mlflow_env = {name: os.environ[name] for name in MLFLOW_ENV_NAMES if os.environ.get(name)}
    if "MLFLOW_TRACKING_URI" not in mlflow_env:
        print("MLFLOW_TRACKING_URI is not set: what the job logs stays on the cluster")
    job_env = {"GENLIB_JOB": stage, "GENLIB_STORAGE": results.storage, **provenance.as_env(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        _copy_project(Path(folder))
        env = QUIET_ENV | mlflow_env | job_env
        submit_job(address, Path(folder), "python -m pipelines.job", env, lambda line: print(line, flush=True))
    download(f"{results.storage}/dvc.lock", ROOT / "dvc.lock")
    results.pull()
    print("the results are here: dvc status, dvc metrics show")


def _shared_storage() -> str:
    """`ray.storage_path`, which this machine and the cluster's head must both see."""
    path = load_params().ray.storage_path
    if "://" not in path and not Path(path).is_absolute():
        expected = "an absolute path that every node and this machine see, or a URL (s3://bucket/folder)"
        raise InputError(f"params.yaml: ray.storage_path: got {path!r}, expected for a job: {expected}")
    return path.rstrip("/")


def _copy_project(folder: Path) -> None:
    """Copy the files that git knows or would know, and dvc.lock."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.submit", description=submit.__doc__)
    parser.add_argument("address", help="of the job server: http://host:port")
    parser.add_argument("--stage", default="", metavar="NAME", help="as dvc.yaml names it: train@gan [all]")
    args = parser.parse_args()
    sys.exit(run_cli(lambda: submit(args.address, args.stage), INTERRUPTED_MESSAGE))


if __name__ == "__main__":
    main()
