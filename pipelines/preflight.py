"""What the graph needs of the machine, asked before anything is written."""

import configparser
import fcntl
import json
import os
import resource
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from genlib.distributed.session import LOCAL_ADDRESSES, check_environment, require_shared_storage, session
from genlib.errors import InputError
from genlib.files import write_text

MIN_FREE_BYTES = 2**28  # of prepared data, checkpoints and results of the default graph, twice
MIN_ADDRESS_SPACE = 2**32
WRITTEN = (".", ".dvc", ".genlib", "data", "reports", "runs")


def check_machine(root: Path) -> None:
    """Ask for DVC, for folders that can be written and for room on their disk; tell DVC whether there is git.

    Raises:
        InputError: one of them is missing.
    """
    if not find_spec("dvc"):
        raise InputError(f"dvc: got none in {sys.prefix}, expected DVC; make setup installs it")
    for folder in filter(Path.exists, (root / name for name in WRITTEN)):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise InputError(f"{folder.resolve()}: got a folder that cannot be written, expected one that can")
    if 0 <= (limit := resource.getrlimit(resource.RLIMIT_AS)[0]) < MIN_ADDRESS_SPACE:
        got = f"ulimit -v: got {limit >> 20} MiB of address space"
        raise InputError(f"{got}, expected {MIN_ADDRESS_SPACE >> 20} MiB or more, without which torch crashes")
    if (free := shutil.disk_usage(root).free) < MIN_FREE_BYTES:
        expected = f"{MIN_FREE_BYTES >> 20} MiB for data, checkpoints and results"
        raise InputError(f"{root.resolve()}: got {free >> 20} MiB free on its disk, expected {expected}; make room")
    if (root / ".dvc").is_dir():
        _tell_dvc_of_git(root)
        _release_locks_of_the_dead(root / ".dvc" / "tmp")


def check_cluster(storage_path: str) -> None:
    """Raise InputError where the cluster of `RAY_ADDRESS` does not answer, or a node does not see `storage_path`."""
    check_environment()
    if os.environ.get("RAY_ADDRESS", "") not in LOCAL_ADDRESSES:
        with session():
            require_shared_storage(storage_path)


def _release_locks_of_the_dead(tmp: Path) -> None:
    """Drop the read and write locks of DVC processes that were killed: DVC takes any process of that PID for theirs."""
    import psutil

    def is_dvc(holder: dict[str, Any]) -> bool:
        try:
            return any(Path(word).name == "dvc" for word in psutil.Process(holder["pid"]).cmdline())
        except psutil.Error as error:
            return isinstance(error, psutil.AccessDenied)  # another user's may be one

    if not (path := tmp / "rwlock").exists():
        return
    with (tmp / "rwlock.lock").open("a") as guard:  # DVC's own, held while it edits the file
        fcntl.flock(guard, fcntl.LOCK_EX)
        try:
            locks = json.loads(path.read_bytes())
            write = {name: holder for name, holder in locks.get("write", {}).items() if is_dvc(holder)}
            readers = {name: [*filter(is_dvc, holders)] for name, holders in locks.get("read", {}).items()}
        except (ValueError, AttributeError, TypeError, KeyError):  # cut off by a kill
            write, readers = {}, {}
        read = {name: holders for name, holders in readers.items() if holders}
        write_text(json.dumps({"write": write, "read": read}), path)


def _tell_dvc_of_git(root: Path) -> None:
    """DVC refuses a project outside git, such as a downloaded zip, unless its local configuration says so."""
    config = configparser.ConfigParser()
    config.read(root / ".dvc" / "config.local")
    has_git = any((folder / ".git").exists() for folder in (root.resolve(), *root.resolve().parents))
    if has_git != config.getboolean("core", "no_scm", fallback=False):
        return
    option = ["--unset", "core.no_scm"] if has_git else ["core.no_scm", "true"]
    subprocess.run([sys.executable, "-m", "dvc", "config", "--local", *option], cwd=root, check=True)
    if not has_git:
        print("no git here: DVC runs without it, and results name no commit (git init and a first commit change both)")
