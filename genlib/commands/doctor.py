"""`genlib doctor`: check the installation and the project; each problem comes with its fix."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from genlib import provenance
from genlib.errors import InputError, mask_secrets, one_line

GIB = 2**30
MIN_PYTHON = (3, 11)
CHECKED_PACKAGES = ("torch", "torchvision", "ray", "mlflow", "dvc", "optuna", "safetensors", "pydantic")
CORE_PACKAGES = ("torch", "safetensors")
SETUP_COMMAND = "make setup"
OLD_STATE = (".genlib/journal", ".genlib/journal.lock", ".genlib/courier.lock")  # of genlib 0.1, which nothing reads
Level = Literal["ok", "note", "broken"]


class CheckResult(NamedTuple):
    """`level`: "note" where genlib works without; `fix`: what to do about it."""

    name: str
    level: Level
    found: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.level:6}  {self.name}: {self.found}{f'; to fix: {self.fix}' if self.fix else ''}"


def doctor(as_json: bool, fix: bool) -> int:
    """Check what genlib needs, and say how to fix what is broken."""
    for path in old_state() if fix else ():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        print(f"{path}: removed", file=sys.stderr)
    results = [result for check in all_checks() for result in check()]
    broken = sum(result.level == "broken" for result in results)
    if as_json:
        print(json.dumps([result._asdict() for result in results], indent=2))
    else:
        print(*results, f"{broken} of {len(results)} broken" if broken else "nothing is broken", sep="\n")
    return 1 if broken else 0


def all_checks() -> list[Callable[[], Iterator[CheckResult]]]:
    """The functions of this file that are called `check_...`."""
    return [value for name, value in globals().items() if name.startswith("check_")]


def check_python() -> Iterator[CheckResult]:
    level: Level = "ok" if sys.version_info >= MIN_PYTHON else "broken"
    fix = "" if level == "ok" else "Python {}.{} or later".format(*MIN_PYTHON)
    yield CheckResult("Python", level, f"{sys.version.split()[0]} in {sys.prefix}", fix)


def check_packages() -> Iterator[CheckResult]:
    """By requirements.lock, where that is here; elsewhere the core packages are enough."""
    locked = read_lock_file(Path("requirements.lock"))
    for name in CHECKED_PACKAGES:
        version, locked_version = installed_version(name), locked.get(name)
        if version is None:
            level: Level = "broken" if locked_version or name in CORE_PACKAGES else "note"
            yield CheckResult(name, level, "not installed", SETUP_COMMAND)
        elif locked_version and version.partition("+")[0] != locked_version:
            yield CheckResult(name, "note", f"{version}, requirements.lock has {locked_version}", SETUP_COMMAND)
        else:
            yield CheckResult(name, "ok", version)


def check_torchvision() -> Iterator[CheckResult]:
    """torchvision is built for one torch."""
    name, torch, torchvision = "torch and torchvision", installed_version("torch"), installed_version("torchvision")
    if torch is None or torchvision is None:
        return
    requirements = (re.match(r"torch\s*\(?==\s*([\w.]+)", line) for line in metadata.requires("torchvision") or ())
    required_torch = next((match[1] for match in requirements if match), torch)
    if torch.partition("+")[0] == required_torch.partition("+")[0]:
        yield CheckResult(name, "ok", "built for each other")
    else:
        found = f"torchvision {torchvision} is for torch {required_torch}, not {torch}"
        yield CheckResult(name, "broken", found, SETUP_COMMAND)


def check_devices() -> Iterator[CheckResult]:
    try:
        import torch
    except Exception as error:  # whatever a broken installation raises
        yield CheckResult("torch", "broken", f"cannot be imported ({one_line(error)})", SETUP_COMMAND)
        return
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        yield CheckResult("GPU", "ok", ", ".join(names))
    elif shutil.which("nvidia-smi"):
        fix = "a torch built for the driver's CUDA, or a newer driver"
        yield CheckResult("GPU", "note", f"there may be one, but torch {torch.__version__} sees none", fix)
    else:
        yield CheckResult("GPU", "ok", f"none; {torch.get_num_threads()} threads of the CPU compute")


def check_memory() -> Iterator[CheckResult]:
    if installed_version("psutil") is None:
        return
    import psutil

    free, total = psutil.virtual_memory().available / GIB, psutil.virtual_memory().total / GIB
    level: Level = "note" if free < 2 else "ok"
    yield CheckResult("memory", level, f"{free:.1f} of {total:.1f} GiB free", "2 GiB free" if free < 2 else "")


def check_disk() -> Iterator[CheckResult]:
    free = shutil.disk_usage(Path.cwd()).free / GIB
    level: Level = "broken" if free < 0.2 else "note" if free < 2 else "ok"
    yield CheckResult("disk", level, f"{free:.1f} GiB free here", "" if level == "ok" else "make room: 2 GiB")


def check_git() -> Iterator[CheckResult]:
    if not shutil.which("git"):
        yield CheckResult("git", "broken", "not installed", "the Debian package git")
    elif (head := provenance.commit(Path.cwd())) == "unknown":
        fix = provenance.SAFE_DIRECTORY_FIXES or ["git init, then a first commit"]
        yield CheckResult("git", "note", "no commit here", *fix)
    else:
        yield CheckResult("git", "ok", head[:12])


def check_dvc() -> Iterator[CheckResult]:
    """DVC starts by its own script, which names the Python of where it was installed."""
    if installed_version("dvc") is None:
        return
    program = shutil.which("dvc", path=Path(sys.executable).parent) or shutil.which("dvc")
    try:
        subprocess.run([program or "dvc", "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        yield CheckResult("dvc command", "broken", f"does not start ({one_line(error)})", SETUP_COMMAND)
        return
    if Path("dvc.yaml").exists() and not Path(".dvc").is_dir():
        yield CheckResult("dvc command", "broken", "no .dvc beside dvc.yaml", "dvc init")
    else:
        yield CheckResult("dvc command", "ok", "there")


def check_tracking() -> Iterator[CheckResult]:
    if installed_version("mlflow") is None:
        return
    from genlib.tracking import address, run_folder

    name, project_dir = "MLflow's address", provenance.main_worktree(Path.cwd())
    try:
        uri = address.tracking_uri(project_dir)
        address.require_driver(uri)
        address.check_reachable(uri)
    except InputError as error:
        yield CheckResult(name, "broken", str(error), "MLFLOW_TRACKING_URI")
        return
    except address.ServerUnreachable as error:
        yield CheckResult(name, "note", str(error), "start it; until then runs are kept in .genlib/runs")
        return
    if pending := len(run_folder.pending_runs(project_dir)):
        yield CheckResult(name, "ok", f"{mask_secrets(uri)}; {pending} runs are not published", "genlib sync")
    else:
        yield CheckResult(name, "ok", mask_secrets(uri))


def check_ray() -> Iterator[CheckResult]:
    from genlib.distributed.session import check_environment

    try:
        check_environment()
    except InputError as error:
        yield CheckResult("Ray", "broken", str(error), "start the head, or unset RAY_ADDRESS and TMPDIR")


def check_old_state() -> Iterator[CheckResult]:
    for path in old_state():
        yield CheckResult("old state", "note", f"{path} is of genlib 0.1, and ignored", "genlib doctor --fix")


def old_state() -> list[Path]:
    """What genlib 0.1 left in the project."""
    project_dir = provenance.main_worktree(Path.cwd())
    return [project_dir / name for name in OLD_STATE if (project_dir / name).exists()]


def check_browser() -> Iterator[CheckResult]:
    if chromium := shutil.which("chromium"):
        yield CheckResult("chromium", "ok", chromium)
    else:
        yield CheckResult("chromium", "note", "none, the tests of pages are skipped", "the Debian package chromium")


def installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def read_lock_file(path: Path) -> dict[str, str]:
    """name -> version of a lock file; empty where there is none."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return {
        name.lower(): version for name, version in re.findall(r"^([\w.-]+)(?:\[.*\])?==([\w.+]+)", text, re.MULTILINE)
    }
