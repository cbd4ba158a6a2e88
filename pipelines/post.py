"""Sends what stages log as long as its standard input is open, so that they need not: `python -m pipelines.post`."""

from __future__ import annotations

import sys
from pathlib import Path

from genlib import provenance
from genlib.errors import guarded
from genlib.tracking.courier import Courier, attending


def post() -> None:
    """Send until the standard input ends, and then what is left; nothing where another process does."""
    home = provenance.home(Path.cwd())
    with attending(home) as alone:
        if alone:
            courier = Courier(home)
            courier.start()
            sys.stdin.read()
            if warning := courier.close():
                print(f"genlib: {warning}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(guarded(post))
