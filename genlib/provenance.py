"""The origin of a number: the commit, whether code or params differ from it, and where the project's main worktree is.

A copy on a cluster has no git: there both are what the environment says they were where the copy was made.
"""

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

CODE_PATHS = ("genlib", "pipelines", "params.yaml", "dvc.yaml", "requirements.lock")
COMMIT_ENV, DIRTY_ENV = "GENLIB_COMMIT", "GENLIB_DIRTY"
SAFE_DIRECTORY_FIXES: list[str] = []  # the command that makes git trust this checkout, once git has asked for it


def as_env(root: Path) -> Mapping[str, str]:
    """The environment that tells a copy of `root` what it is a copy of."""
    return {COMMIT_ENV: commit(root), DIRTY_ENV: dirty(root)}


def commit(root: Path) -> str:
    """The commit that `root` is a checkout of, or "unknown" outside git."""
    return os.environ.get(COMMIT_ENV) or _git(root, "rev-parse", "HEAD") or "unknown"


def dirty(root: Path) -> str:
    """Whether code or params differ from the commit (data and results do not count): true, false, or unknown."""
    paths = [path for path in CODE_PATHS if (root / path).exists()]
    changes = _git(root, "status", "--porcelain", "--", *paths)
    return os.environ.get(DIRTY_ENV) or ("unknown" if changes is None else "true" if changes else "false")


def code_version() -> dict[str, str]:
    """The version of genlib and, of a checkout, the commit and whether it differs; else "unknown"."""
    from importlib.metadata import PackageNotFoundError, version

    root = Path(__file__).parents[1]
    try:
        release = version("genlib")
    except PackageNotFoundError:
        release = "unknown"
    if not (root / ".git").exists():
        return {"version": release, "commit": "unknown", "dirty": "unknown"}
    return {"version": release, "commit": commit(root), "dirty": dirty(root)}


def processor_name() -> str:
    """The processor's name as the kernel gives it, with family and model, which tell what a bare name may not."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(re.findall(r"^(model name|cpu family|model)\s*:\s*(.*)$", text, re.MULTILINE))
    return (
        f"{facts.get('model name', platform.machine())} (family {facts.get('cpu family')}, model {facts.get('model')})"
    )


def dvc_experiment() -> str:
    """The name of DVC's experiment that this is part of; "" outside one."""
    return os.environ.get("DVC_EXP_NAME", "")


def main_worktree(root: Path) -> Path:
    """The main worktree that `root` belongs to, or `root` itself. A queued experiment of DVC runs in a repository of
    its own, which is removed: it belongs to the one that it was queued in, `DVC_ROOT`."""
    if dvc_experiment():
        root = Path(os.environ.get("DVC_ROOT", root))
    found = _git(root, "rev-parse", "--path-format=absolute", "--git-common-dir", "--show-prefix") or ""
    shared, _, subfolder = found.partition("\n")
    project_dir = Path(shared).parent / subfolder
    return project_dir if shared.endswith("/.git") and project_dir.is_dir() else root


def installed_requirements() -> str:
    """Python and what is installed, as requirements that make it again."""
    from importlib.metadata import distributions

    pins = sorted({f"{each.metadata['Name']}=={each.metadata['Version']}" for each in distributions()}, key=str.lower)
    return "\n".join([f"# Python {platform.python_version()}, {platform.platform()}", *pins, ""])


def tags(root: Path, *, stage: str, model: str, params_digest: str, data_sha256: str) -> dict[str, str]:
    """The tags that every run carries."""
    found = {"commit": commit(root), "dirty": dirty(root), "data_sha256": data_sha256}
    found |= {"params_digest": params_digest, "stage": stage, "model": model}
    found |= {"dvc_experiment": dvc_experiment()} if dvc_experiment() else {}
    return {f"genlib.{key}": value for key, value in found.items()}


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails. A checkout of another user is trusted as its code is, which runs here."""
    command = ["git", "-c", f"safe.directory={root.resolve()}", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="surrogateescape", check=False)
    except OSError:
        return None
    if "safe.directory" in done.stderr and not SAFE_DIRECTORY_FIXES:
        SAFE_DIRECTORY_FIXES.append(f"git config --global --add safe.directory {done.stderr.split()[-1]}")
        print(
            f"{root}: got the checkout of another user, no commit is recorded; {SAFE_DIRECTORY_FIXES[0]}",
            file=sys.stderr,
        )
    return done.stdout.strip() if done.returncode == 0 else None
