"""Processes and folders of Ray that outlive their driver: found at the next start, and ended or removed.

A driver that is killed (SIGKILL) cannot end what it started, and some of Ray's agents stay. All that it starts has its
mark in the environment, and its folder has it in a file: boot, PID namespace, PID and start time in ticks since the
boot, since containers have PIDs of their own, PIDs are reused, and clocks are set.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DRIVER_ENV, DRIVER_FILE = "GENLIB_DRIVER", "driver"


def tag_children() -> None:
    os.environ[DRIVER_ENV] = driver_mark()


def end_orphans() -> list[int]:
    """End the processes of this user whose driver is gone; returns their PIDs."""
    import psutil

    ended = []
    for process in psutil.process_iter():
        try:
            if is_gone(process.environ().get(DRIVER_ENV, "")):
                process.kill()
                ended.append(process.pid)
        except (psutil.Error, OSError):
            continue  # another user's, or gone meanwhile
    return ended


@contextmanager
def driver_folder(root: Path) -> Iterator[Path]:
    """A folder in `root` that only this user may enter, removed at the end, with those that killed drivers left."""
    for file in root.glob(f"genlib-*/{DRIVER_FILE}"):
        with suppress(OSError, ValueError):  # another user's, or removed meanwhile
            if file.stat().st_uid == os.getuid() and is_gone(file.read_text()):
                shutil.rmtree(file.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="genlib-", dir=root))
    try:
        (folder / DRIVER_FILE).write_text(driver_mark())
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def driver_mark() -> str:
    """Boot, PID namespace, PID and start time of this process; empty where the system does not tell."""
    with suppress(OSError):
        boot, namespace = Path("/proc/sys/kernel/random/boot_id").read_text(), Path("/proc/self/ns/pid").readlink()
        pid = str(Path("/proc/self").readlink())
        return f"{boot.strip()} {namespace} {pid} {_start_ticks(pid)}"
    return ""


def is_gone(mark: str) -> bool:
    """Whether the process of this mark has ended; False where that cannot be known from here."""
    here = driver_mark().split()
    if len(here) != 4 or len(mark.split()) != 4:
        return False
    boot, namespace, pid, ticks = mark.split()
    if boot != here[0]:
        return True
    return namespace == here[1] and _start_ticks(pid) != ticks


def _start_ticks(pid: str) -> str:
    """When a process started, in clock ticks since the boot; empty where there is none, or a zombie."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if state in "ZX" else fields[18]
