"""What the graph needs of the machine, asked before anything is written."""

import configparser
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from genlib.errors import InputError

MIN_FREE_BYTES = 2**28  # of prepared data, checkpoints and results of the default graph, twice
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
    if (free := shutil.disk_usage(root).free) < MIN_FREE_BYTES:
        expected = f"{MIN_FREE_BYTES >> 20} MiB for data, checkpoints and results"
        raise InputError(f"{root.resolve()}: got {free >> 20} MiB free on its disk, expected {expected}; make room")
    if (root / ".dvc").is_dir():
        _tell_dvc_of_git(root)


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
