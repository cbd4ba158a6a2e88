"""Processes of Ray that outlive their driver: found at the next start, and ended by their PID.

A driver that is killed (SIGKILL) cannot end what it started, and some of Ray's agents stay. All that a driver starts
carries a mark in its environment that says whose it is: PID and time of start, since PIDs are given again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

MARK = "GENLIB_DRIVER"


def mark() -> None:
    """Let all that this process starts from now on be known as its own."""
    import psutil

    os.environ[MARK] = f"{os.getpid()}-{psutil.Process().create_time()}"


def end_orphans() -> list[int]:
    """End the processes of this user whose driver is gone; returns their PIDs."""
    import psutil

    ended = []
    for process in psutil.process_iter():
        try:
            driver = process.environ().get(MARK)
            if driver and driver not in set(_names(int(driver.partition("-")[0]))):
                process.kill()
                ended.append(process.pid)
        except (psutil.Error, OSError):
            continue  # another user's, or gone meanwhile
    return ended


def _names(pid: int) -> Iterator[str]:
    """What the process that has this PID now would be known as."""
    import psutil

    if psutil.pid_exists(pid) and (process := psutil.Process(pid)).status() != psutil.STATUS_ZOMBIE:
        yield f"{pid}-{process.create_time()}"
