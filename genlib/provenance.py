"""The origin of a number: the commit, whether code or params differ from it, and where the project's main worktree is.

A copy on a cluster has no git: there both are what the environment says they were where the copy was made.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

CODE_PATHS = ("genlib", "pipelines", "params.yaml", "dvc.yaml", "requirements.lock")
COMMIT_ENV, DIRTY_ENV = "GENLIB_COMMIT", "GENLIB_DIRTY"
DVC_EXPERIMENT_ENV, DVC_ROOT_ENV = (
    "DVC_EXP_NAME",
    "DVC_ROOT",
)  # DVC's words for an experiment and for the checkout it was asked for in


def as_env(root: Path) -> Mapping[str, str]:
    """The environment that tells a copy of `root` what it is a copy of."""
    return {COMMIT_ENV: commit(root), DIRTY_ENV: str(is_dirty(root)).lower()}


def commit(root: Path) -> str:
    """The commit that `root` is a checkout of, or "unknown" outside git."""
    return os.environ.get(COMMIT_ENV) or _git(root, "rev-parse", "HEAD") or "unknown"


def read_committed(root: Path, path: str) -> str:
    """The content of a file in the commit; "" outside git."""
    return _git(root, "show", f"HEAD:./{path}")


def is_dirty(root: Path) -> bool:
    """Whether code or params differ from the commit; data and results do not count."""
    if DIRTY_ENV in os.environ:
        return os.environ[DIRTY_ENV] == "true"
    return bool(_git(root, "status", "--porcelain", "--", *(path for path in CODE_PATHS if (root / path).exists())))


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
    return {"version": release, "commit": commit(root), "dirty": str(is_dirty(root)).lower()}


def dvc_experiment() -> str:
    """The name of DVC's experiment that this is part of; "" outside one."""
    return os.environ.get(DVC_EXPERIMENT_ENV, "")


def main_worktree(root: Path) -> Path:
    """The main worktree that `root` belongs to, or `root` itself.

    A queued experiment runs in a repository of its own, which DVC removes: it belongs to the one that it was queued in.
    """
    if dvc_experiment():
        root = Path(os.environ.get(DVC_ROOT_ENV, root))
    shared = _git(root, "rev-parse", "--path-format=absolute", "--git-common-dir")
    return Path(shared).parent if shared.endswith("/.git") else root


def installed_requirements() -> str:
    """Python and what is installed, as requirements that make it again."""
    import platform
    from importlib.metadata import distributions

    found = (each.metadata for each in distributions())
    pins = sorted({f"{each['Name']}=={each['Version']}" for each in found}, key=str.lower)
    return "\n".join([f"# Python {platform.python_version()}, {platform.platform()}", *pins, ""])


def tags(root: Path, *, stage: str, model: str, params_digest: str, data_sha256: str) -> dict[str, str]:
    """The tags that every run carries."""
    return {
        "genlib.commit": commit(root),
        "genlib.dirty": str(is_dirty(root)).lower(),
        "genlib.data_sha256": data_sha256,
        "genlib.params_digest": params_digest,
        "genlib.stage": stage,
        "genlib.model": model,
        **({"genlib.dvc_experiment": dvc_experiment()} if dvc_experiment() else {}),
    }


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
