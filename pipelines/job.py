"""What a submitted job runs on the cluster's head: the graph, by DVC, without git.

It begins with the results that the remote in `ray.storage_path` holds, and leaves there what it made, with its dvc.lock.
It runs in a folder of its own, since Ray removes the one that it unpacked when it thinks that nobody needs it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from genlib.errors import run_cli
from genlib.files import upload
from pipelines.stage import ROOT
from pipelines.submit import run_dvc, run_module


def run_submitted_job() -> None:
    """Run what `pipelines.submit` asked for."""
    storage, stage = os.environ["GENLIB_STORAGE"], os.environ["GENLIB_JOB"]
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "genlib"
        shutil.copytree(ROOT, home)
        os.environ["PYTHONPATH"] = str(home)
        run_dvc(home, "config", "--local", "core.no_scm", "true")
        run_dvc(home, "remote", "add", "--local", "--force", "jobs", f"{storage}/dvc")
        run_dvc(home, "pull", "--quiet", "--allow-missing", "--remote", "jobs")
        run_module(home, "pipelines.check")
        try:
            run_dvc(home, "repro", *filter(None, [stage]))
        finally:
            run_dvc(home, "push", "--quiet", "--remote", "jobs")
            upload(home / "dvc.lock", f"{storage}/dvc.lock")


if __name__ == "__main__":
    sys.exit(run_cli(run_submitted_job))
