"""`genlib doctor`: is what genlib stands on there, and does it fit together? One line each, and how to mend it."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from genlib.errors import InputError

GIB = 2**30
OLDEST = (3, 11)
LOCKED = ("torch", "torchvision", "ray", "mlflow", "dvc", "optuna", "safetensors", "pydantic")
SETUP = "make setup"
Level = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """`note`: it works without."""

    name: str
    level: Level
    found: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.level:6}  {self.name}: {self.found}{f'; to mend: {self.mend}' if self.mend else ''}"


def doctor(as_json: bool) -> int:
    """Say whether what genlib needs is there, and how to mend what is not."""
    findings = [finding for check in checks() for finding in check()]
    broken = sum(finding.level == "broken" for finding in findings)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(finding)
        print(f"{broken} of {len(findings)} broken" if broken else "nothing is broken")
    return 1 if broken else 0


def checks() -> list[Callable[[], list[Finding]]]:
    return [python, packages, pair, devices, memory, disk, git, dvc, tracking, browser]


def python() -> list[Finding]:
    text = sys.version.split()[0]
    if sys.version_info < OLDEST:
        return [Finding("Python", "broken", text, "Python {}.{} or later".format(*OLDEST))]
    return [Finding("Python", "ok", f"{text} in {sys.prefix}")]


def packages() -> list[Finding]:
    """The versions of requirements.lock, where that is here; torch, numpy and safetensors are enough elsewhere."""
    locked, found = lock(Path("requirements.lock")), []
    for name in LOCKED:
        have, want = version(name), locked.get(name)
        if have is None:
            core = name in ("torch", "safetensors")
            found.append(Finding(name, "broken" if core or want else "note", "not installed", SETUP))
        elif want and have.partition("+")[0] != want:
            found.append(Finding(name, "note", f"{have}, requirements.lock says {want}", SETUP))
        else:
            found.append(Finding(name, "ok", have))
    return found


def pair() -> list[Finding]:
    """torchvision is built for one torch."""
    have, vision = version("torch"), version("torchvision")
    if have is None or vision is None:
        return []
    asked = (re.match(r"torch\s*\(?==\s*([\w.]+)", line) for line in metadata.requires("torchvision") or ())
    want = next((found[1] for found in asked if found), have)
    if have.partition("+")[0] != want.partition("+")[0]:
        return [
            Finding("torch and torchvision", "broken", f"torchvision {vision} is for torch {want}, not {have}", SETUP)
        ]
    return [Finding("torch and torchvision", "ok", "made for each other")]


def devices() -> list[Finding]:
    try:
        import torch
    except Exception as error:
        return [Finding("torch", "broken", f"cannot be imported ({' '.join(str(error).split())[:160]})", SETUP)]
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return [Finding("GPU", "ok", ", ".join(names))]
    if shutil.which("nvidia-smi"):
        mend = "a torch built for the driver's CUDA, or a newer driver"
        return [Finding("GPU", "note", f"there may be one, but torch {torch.__version__} sees none", mend)]
    return [Finding("GPU", "ok", f"none; {torch.get_num_threads()} threads of the CPU compute")]


def memory() -> list[Finding]:
    if version("psutil") is None:
        return []
    import psutil

    free, total = psutil.virtual_memory().available / GIB, psutil.virtual_memory().total / GIB
    level: Level = "note" if free < 2 else "ok"
    return [Finding("memory", level, f"{free:.1f} of {total:.1f} GiB free", "2 GiB free" if free < 2 else "")]


def disk() -> list[Finding]:
    usage = shutil.disk_usage(Path.cwd())
    free = usage.free / GIB
    level: Level = "broken" if free < 0.2 else "note" if free < 2 else "ok"
    return [Finding("disk", level, f"{free:.1f} GiB free here", "" if level == "ok" else "make room: 2 GiB")]


def git() -> list[Finding]:
    from genlib.provenance import commit

    if not shutil.which("git"):
        return [Finding("git", "broken", "not installed", "the Debian package git")]
    found = commit(Path.cwd())
    if found == "unknown":
        return [Finding("git", "note", "no commit here", "git init, then a first commit")]
    return [Finding("git", "ok", found[:12])]


def dvc() -> list[Finding]:
    if version("dvc") is None:
        return []
    program = Path(sys.executable).with_name("dvc")
    if not program.exists() and not shutil.which("dvc"):
        return [Finding("dvc command", "broken", f"no {program}", SETUP)]
    if Path("dvc.yaml").exists() and not Path(".dvc").is_dir():
        return [Finding("dvc command", "broken", "no .dvc beside dvc.yaml", "dvc init")]
    return [Finding("dvc command", "ok", "there")]


def tracking() -> list[Finding]:
    """Whether the server answers, or the SQLite file is one."""
    from genlib import provenance
    from genlib.tracking import mlflow

    home = provenance.home(Path.cwd())
    try:
        uri = mlflow.tracking_uri(home)
        mlflow.probe(uri)
    except InputError as error:
        return [Finding("MLflow's address", "broken", str(error), "MLFLOW_TRACKING_URI")]
    except mlflow.Unreachable as error:
        kept = "start it; until then results are kept in .genlib/journal"
        return [Finding("MLflow's address", "note", str(error), kept)]
    waiting = len(mlflow.waiting(home / ".genlib" / "journal"))
    later = f"; {waiting} journals wait to be sent" if waiting else ""
    return [Finding("MLflow's address", "ok", f"{uri}{later}", "genlib track --flush" if waiting else "")]


def browser() -> list[Finding]:
    found = shutil.which("chromium")
    if found:
        return [Finding("chromium", "ok", found)]
    return [Finding("chromium", "note", "none, the tests of pages are skipped", "the Debian package chromium")]


def version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def lock(path: Path) -> dict[str, str]:
    """name -> version of a lock file; empty where there is none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pins = [line.split(";")[0].strip().partition("==") for line in lines if "==" in line.split(";")[0]]
    return {name.partition("[")[0].lower(): version for name, _, version in pins}
