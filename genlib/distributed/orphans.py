"""Processes of Ray that outlive their driver: found at the next start, and ended by their PID.

A driver that is killed (SIGKILL) cannot end what it started, and some of Ray's agents stay. All that a driver starts
has its PID and start time in the environment; the time, since PIDs are reused.
"""

import os

DRIVER_ENV = "GENLIB_DRIVER"
START_TOLERANCE_S = 10.0  # between two readings of one start time: the clock may have been set meanwhile


def tag_children() -> None:
    """Mark all that this process starts from now on as its own."""
    import psutil

    os.environ[DRIVER_ENV] = f"{os.getpid()}-{psutil.Process().create_time()}"


def end_orphans() -> list[int]:
    """End the processes of this user whose driver is gone; returns their PIDs."""
    import psutil

    ended = []
    for process in psutil.process_iter():
        try:
            driver = process.environ().get(DRIVER_ENV)
            if driver and not _is_alive(driver):
                process.kill()
                ended.append(process.pid)
        except (psutil.Error, OSError, ValueError):
            continue  # another user's, gone meanwhile, or with another's variable
    return ended


def _is_alive(driver: str) -> bool:
    """Whether the process of this PID and start time still runs."""
    import psutil

    pid, _, start_time = driver.partition("-")
    if not psutil.pid_exists(int(pid)):
        return False
    process = psutil.Process(int(pid))
    same = abs(float(process.create_time()) - float(start_time)) < START_TOLERANCE_S
    return same and process.status() != psutil.STATUS_ZOMBIE
