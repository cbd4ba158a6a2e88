"""Is this machine fit: what there is, whether it fits together, and how to mend what does not."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

State = Literal["ok", "note", "broken"]
ROOM, MEMORY = 5, 4  # GiB that the default graph and its environment want free
PARTS = {  # what each package is for, and whether nothing goes without it
    "torch": ("everything", True),
    "numpy": ("everything", True),
    "safetensors": ("everything", True),
    "torchvision": ("data sets and networks of torchvision", False),
    "ray": ("stages, workers and sweeps", False),
    "mlflow": ("tracking", False),
    "dvc": ("`make repro`", False),
}
MEND = "make setup"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it stands, what was found, and what to do about it."""

    what: str
    state: State
    found: str
    do: str = ""

    def __str__(self) -> str:
        return f"{self.state:6} {self.what}: {self.found}" + (f"; {self.do}" if self.do else "")


def examine() -> list[Finding]:
    """Everything that is looked at, in this order; none of it takes long or leaves anything behind."""
    looks: list[Callable[[], Finding]] = [_python, *(lambda name=name: _package(name) for name in PARTS)]
    return [look() for look in [*looks, _pair, _gpu, _memory, _disk, _tracking, _cluster, _browser]]


def facts(findings: list[Finding]) -> list[dict[str, str]]:
    """The same for machines."""
    return [asdict(finding) for finding in findings]


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    fit = sys.version_info >= (3, 11)
    return Finding("Python", "ok" if fit else "broken", found, "" if fit else "install Python 3.11 or later")


def _package(name: str) -> Finding:
    use, needed = PARTS[name]
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, "broken" if needed else "note", f"not there, needed for {use}", MEND)


def _pair() -> Finding:
    """torchvision is compiled against one torch, and says so only once it is used."""
    what = "torch and torchvision"
    try:
        import torch
        from torchvision import ops

        ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except ImportError as error:
        return Finding(what, "note", f"cannot be imported together ({_line(error)})", MEND)
    except (RuntimeError, AttributeError) as error:
        return Finding(what, "broken", f"are not a pair ({_line(error)})", MEND)
    return Finding(what, "ok", "fit each other")


def _gpu() -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("GPU", "broken", f"torch cannot be imported ({_line(error)})", MEND)
    if not torch.cuda.is_available():
        return Finding("GPU", "note", f"none that torch sees; {os.cpu_count()} CPUs are used")
    names = ", ".join(torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count()))
    return Finding("GPU", "ok", f"{names} (CUDA {torch.version.cuda})")


def _memory() -> Finding:
    page = os.sysconf("SC_PAGE_SIZE") / 2**30
    free, total = os.sysconf("SC_AVPHYS_PAGES") * page, os.sysconf("SC_PHYS_PAGES") * page
    found, enough = f"{total:.0f} GiB, {free:.0f} of them untouched", total >= MEMORY
    do = "" if enough else f"a sweep wants {MEMORY} GiB; tune.resources.cpu: all there are runs one trial at a time"
    return Finding("memory", "ok" if enough else "note", found, do)


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    do = "" if free >= ROOM else f"free {ROOM} GiB: `dvc gc -w` removes results that this checkout does not name"
    return Finding("disk", "ok" if free >= ROOM else "note", f"{free:.0f} GiB free here", do)


def _tracking() -> Finding:
    address = os.environ.get("MLFLOW_TRACKING_URI", "")
    if urlsplit(address).scheme not in ("http", "https"):
        return Finding("tracking", "ok", address or "mlflow.db in the main worktree")
    return _answers("tracking", address, "what is logged waits in .genlib/journal: `genlib track --flush` sends it")


def _cluster() -> Finding:
    address = os.environ.get("RAY_ADDRESS", "")
    if not address:
        return Finding("cluster", "ok", "this machine; RAY_ADDRESS names another")
    return _answers("cluster", address, "is the head up? `ray status` there says so")


def _answers(what: str, address: str, do: str) -> Finding:
    """Whether something listens at the address."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 6379)
        socket.create_connection((parts.hostname or "", port), timeout=3).close()
    except (OSError, ValueError) as error:
        return Finding(what, "broken", f"nothing answers at {address} ({_line(error)})", do)
    return Finding(what, "ok", address)


def _browser() -> Finding:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found:
        return Finding("browser", "ok", found)
    return Finding("browser", "note", "none, so that its tests are left out", "install chromium to run them")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
