"""The entry point of a submitted job on the cluster's head: run the graph with DVC, without git, in a folder of its
own, since Ray may remove the one that it unpacked."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from genlib.errors import run_cli
from genlib.files import upload
from pipelines.stage import ROOT
from pipelines.submit import RemoteResults


def run_submitted_job() -> None:
    """Pull the results in storage, run what `pipelines.submit` asked for, and push the new ones with their dvc.lock."""
    with tempfile.TemporaryDirectory() as folder:
        results = RemoteResults(Path(folder) / "genlib", os.environ["GENLIB_STORAGE"])
        shutil.copytree(ROOT, results.root)
        os.environ["PYTHONPATH"] = str(results.root)
        results.run("dvc", "config", "--local", "core.no_scm", "true")
        results.add_remote()
        results.pull()
        results.run("pipelines.check")
        try:
            results.run("dvc", "repro", *filter(None, [os.environ["GENLIB_JOB"]]))
        finally:
            results.push()
            upload(results.root / "dvc.lock", f"{results.storage}/dvc.lock")


if __name__ == "__main__":
    sys.exit(run_cli(run_submitted_job))
