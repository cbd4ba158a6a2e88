"""Sends what stages log as long as its standard input is open, so that they need not: `python -m pipelines.post`."""

from __future__ import annotations

import sys
from pathlib import Path

from genlib import provenance
from genlib.errors import run_cli
from genlib.tracking.courier import Courier, attending


def run_sync_daemon() -> None:
    """Send until the standard input ends, and then what is left; nothing where another process does."""
    home = provenance.main_worktree(Path.cwd())
    with attending(home) as alone:
        if alone:
            courier = Courier(home)
            courier.start()
            sys.stdin.read()
            if warning := courier.close():
                print(f"genlib: {warning}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run_cli(run_sync_daemon))
