"""The entry point of a submitted job on the cluster's head: run the graph with DVC, without git.

It runs in a folder of its own, since Ray may remove the one that it unpacked. `ray job stop` ends it like Ctrl-C.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from genlib.distributed.orphans import driver_folder
from genlib.errors import run_cli
from pipelines.stage import JOB_NAME_ENV, ROOT
from pipelines.submit import JOB_ENV_FILE, RemoteResults


def run_submitted_job() -> None:
    """Go on from what an earlier job of this name left in storage, run what `pipelines.submit` asked for, and leave
    there what ended, what is tracked, and the checkpoints of what did not end."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    os.environ.update(json.loads((ROOT / JOB_ENV_FILE).read_text()))
    with driver_folder(Path(tempfile.gettempdir())) as folder:
        root = folder / "genlib"
        results = RemoteResults(root, os.environ["GENLIB_STORAGE"], os.environ[JOB_NAME_ENV])
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(JOB_ENV_FILE))
        os.environ["PYTHONPATH"] = str(root)
        results.run("dvc", "config", "--local", "core.no_scm", "true")
        results.add_remote()
        results.load(root / ".genlib", ("runs", "state"))
        results.pull()
        results.run("pipelines.check")
        try:
            results.run("dvc", "repro", *filter(None, [os.environ["GENLIB_JOB"]]))
        finally:
            results.save()


if __name__ == "__main__":
    sys.exit(run_cli(run_submitted_job, "stopped; `make submit` again goes on from here"))
