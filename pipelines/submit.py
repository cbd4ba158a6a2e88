"""`make submit ADDRESS=http://head:8265`: the graph on a cluster, its results in this workspace.

A job gets the files that git knows or would know, and by value what an upload leaves behind: the commit, and whether
code or params differ from it. Results travel by a DVC remote in `ray.storage_path`: what is known here goes there first,
and what the job made is pulled at the end, with its dvc.lock, so that nothing is run again here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from genlib import provenance
from genlib.errors import InputError, run_cli
from genlib.files import download
from genlib.params import load_params
from pipelines.stage import ROOT

MLFLOW_ENV_NAMES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
QUIET_ENV = {
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
}
INTERRUPTED_MESSAGE = "no longer followed; the job goes on, and `make submit` again brings its results"


def submit(address: str, stage: str) -> None:
    """Run the graph, or one stage of it and what that needs, on a cluster."""
    from genlib.distributed.jobs import submit_job as run

    storage = require_shared_storage(load_params().ray.storage_path)
    run_dvc(ROOT, "remote", "add", "--local", "--force", "jobs", f"{storage}/dvc")
    run_dvc(ROOT, "push", "--quiet", "--remote", "jobs")
    carried = {name: os.environ[name] for name in MLFLOW_ENV_NAMES if os.environ.get(name)}
    if "MLFLOW_TRACKING_URI" not in carried:
        print("MLFLOW_TRACKING_URI is not set: what the job logs stays on the cluster")
    facts = {"GENLIB_JOB": stage, "GENLIB_STORAGE": storage, **provenance.as_env(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        copy_project(Path(folder))
        run(
            address,
            Path(folder),
            "python -m pipelines.job",
            QUIET_ENV | carried | facts,
            lambda line: print(line, flush=True),
        )
    download(f"{storage}/dvc.lock", ROOT / "dvc.lock")
    run_dvc(ROOT, "pull", "--quiet", "--force", "--allow-missing", "--remote", "jobs")
    print("the results are here: dvc status, dvc metrics show")


def require_shared_storage(storage_path: str) -> str:
    """`storage`, where both this machine and the cluster's head can see it.

    Raises:
        InputError: it is a path within this folder, which the head does not see.
    """
    if "://" not in storage_path and not Path(storage_path).is_absolute():
        raise InputError(
            f"params.yaml: ray.storage_path: found {storage_path!r}, expected for a job: an absolute path that every node and "
            "this machine see, or a URL (s3://bucket/folder)"
        )
    return storage_path.rstrip("/")


def copy_project(folder: Path) -> None:
    """The files that git knows or would know, and dvc.lock."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def run_dvc(root: Path, *arguments: str) -> None:
    """Run DVC in `root`."""
    run_module(root, "dvc", *arguments)


def run_module(root: Path, *module: str) -> None:
    """Run a module as a program of this environment in `root`.

    Raises:
        InputError: it ended badly, and has said why.
    """
    done = subprocess.run([sys.executable, "-m", *module], cwd=root, env=os.environ | QUIET_ENV)
    if done.returncode:
        raise InputError(f"{' '.join(module)}: ended with {done.returncode}, expected what it says above, mended")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipelines.submit", description=submit.__doc__)
    parser.add_argument("address", help="of the job server: http://host:port")
    parser.add_argument("--stage", default="", metavar="NAME", help="as dvc.yaml names it: train@gan [all]")
    asked = parser.parse_args()
    sys.exit(run_cli(lambda: submit(asked.address, asked.stage), INTERRUPTED_MESSAGE))


if __name__ == "__main__":
    main()
