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

from genlib.errors import InputError, one_line

GIB = 2**30
MIN_PYTHON = (3, 11)
CHECKED_PACKAGES = ("torch", "torchvision", "ray", "mlflow", "dvc", "optuna", "safetensors", "pydantic")
SETUP_COMMAND = "make setup"
Level = Literal["ok", "note", "broken"]


@dataclass(frozen=True)
class CheckResult:
    """`note`: it works without."""

    name: str
    level: Level
    found: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.level:6}  {self.name}: {self.found}{f'; to mend: {self.mend}' if self.mend else ''}"


def doctor(as_json: bool) -> int:
    """Say whether what genlib needs is there, and how to mend what is not."""
    findings = [finding for check in all_checks() for finding in check()]
    broken = sum(finding.level == "broken" for finding in findings)
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(finding)
        print(f"{broken} of {len(findings)} broken" if broken else "nothing is broken")
    return 1 if broken else 0


def all_checks() -> list[Callable[[], list[CheckResult]]]:
    return [
        check_python,
        check_packages,
        check_torchvision,
        check_devices,
        check_memory,
        check_disk,
        check_git,
        check_dvc,
        check_tracking,
        check_browser,
    ]


def check_python() -> list[CheckResult]:
    text = sys.version.split()[0]
    if sys.version_info < MIN_PYTHON:
        return [CheckResult("Python", "broken", text, "Python {}.{} or later".format(*MIN_PYTHON))]
    return [CheckResult("Python", "ok", f"{text} in {sys.prefix}")]


def check_packages() -> list[CheckResult]:
    """The versions of requirements.lock, where that is here; torch, numpy and safetensors are enough elsewhere."""
    locked, found = read_lock_file(Path("requirements.lock")), []
    for name in CHECKED_PACKAGES:
        have, want = installed_version(name), locked.get(name)
        if have is None:
            core = name in ("torch", "safetensors")
            found.append(CheckResult(name, "broken" if core or want else "note", "not installed", SETUP_COMMAND))
        elif want and have.partition("+")[0] != want:
            found.append(CheckResult(name, "note", f"{have}, requirements.lock says {want}", SETUP_COMMAND))
        else:
            found.append(CheckResult(name, "ok", have))
    return found


def check_torchvision() -> list[CheckResult]:
    """torchvision is built for one torch."""
    have, vision = installed_version("torch"), installed_version("torchvision")
    if have is None or vision is None:
        return []
    asked = (re.match(r"torch\s*\(?==\s*([\w.]+)", line) for line in metadata.requires("torchvision") or ())
    want = next((found[1] for found in asked if found), have)
    if have.partition("+")[0] != want.partition("+")[0]:
        return [
            CheckResult(
                "torch and torchvision",
                "broken",
                f"torchvision {vision} is for torch {want}, not {have}",
                SETUP_COMMAND,
            )
        ]
    return [CheckResult("torch and torchvision", "ok", "made for each other")]


def check_devices() -> list[CheckResult]:
    try:
        import torch
    except Exception as error:
        return [CheckResult("torch", "broken", f"cannot be imported ({one_line(error)})", SETUP_COMMAND)]
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return [CheckResult("GPU", "ok", ", ".join(names))]
    if shutil.which("nvidia-smi"):
        mend = "a torch built for the driver's CUDA, or a newer driver"
        return [CheckResult("GPU", "note", f"there may be one, but torch {torch.__version__} sees none", mend)]
    return [CheckResult("GPU", "ok", f"none; {torch.get_num_threads()} threads of the CPU compute")]


def check_memory() -> list[CheckResult]:
    if installed_version("psutil") is None:
        return []
    import psutil

    free, total = psutil.virtual_memory().available / GIB, psutil.virtual_memory().total / GIB
    level: Level = "note" if free < 2 else "ok"
    return [CheckResult("memory", level, f"{free:.1f} of {total:.1f} GiB free", "2 GiB free" if free < 2 else "")]


def check_disk() -> list[CheckResult]:
    usage = shutil.disk_usage(Path.cwd())
    free = usage.free / GIB
    level: Level = "broken" if free < 0.2 else "note" if free < 2 else "ok"
    return [CheckResult("disk", level, f"{free:.1f} GiB free here", "" if level == "ok" else "make room: 2 GiB")]


def check_git() -> list[CheckResult]:
    from genlib.provenance import commit

    if not shutil.which("git"):
        return [CheckResult("git", "broken", "not installed", "the Debian package git")]
    found = commit(Path.cwd())
    if found == "unknown":
        return [CheckResult("git", "note", "no commit here", "git init, then a first commit")]
    return [CheckResult("git", "ok", found[:12])]


def check_dvc() -> list[CheckResult]:
    if installed_version("dvc") is None:
        return []
    program = Path(sys.executable).with_name("dvc")
    if not program.exists() and not shutil.which("dvc"):
        return [CheckResult("dvc command", "broken", f"no {program}", SETUP_COMMAND)]
    if Path("dvc.yaml").exists() and not Path(".dvc").is_dir():
        return [CheckResult("dvc command", "broken", "no .dvc beside dvc.yaml", "dvc init")]
    return [CheckResult("dvc command", "ok", "there")]


def check_tracking() -> list[CheckResult]:
    """Whether the server answers, or the SQLite file is one."""
    from genlib import provenance
    from genlib.tracking import mlflow

    home = provenance.main_worktree(Path.cwd())
    try:
        uri = mlflow.tracking_uri(home)
        mlflow.check_reachable(uri)
    except InputError as error:
        return [CheckResult("MLflow's address", "broken", str(error), "MLFLOW_TRACKING_URI")]
    except mlflow.ServerUnreachable as error:
        kept = "start it; until then runs are kept in .genlib/runs"
        return [CheckResult("MLflow's address", "note", str(error), kept)]
    pending = len(mlflow.pending_runs(home))
    later = f"; {pending} runs are not published" if pending else ""
    return [CheckResult("MLflow's address", "ok", f"{uri}{later}", "genlib sync" if pending else "")]


def check_browser() -> list[CheckResult]:
    found = shutil.which("chromium")
    if found:
        return [CheckResult("chromium", "ok", found)]
    return [CheckResult("chromium", "note", "none, the tests of pages are skipped", "the Debian package chromium")]


def installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def read_lock_file(path: Path) -> dict[str, str]:
    """name -> version of a lock file; empty where there is none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pins = [line.split(";")[0].strip().partition("==") for line in lines if "==" in line.split(";")[0]]
    return {name.partition("[")[0].lower(): version for name, _, version in pins}
