"""Which code a model's numbers come from: a hash of all that dvc.yaml lists for its `train` and `evaluate` stages.

Those lists are the imports of the stages (tests/pipelines/test_dependencies.py), so that a number is stale where its
digest is another than that of the code at hand. A file that is gone counts as one of other content.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from genlib.params import read_yaml

STAGES, CODE = ("train", "evaluate"), ("genlib/", "pipelines/")
UNKNOWN = "unknown"


def code_digest(root: Path, model: str, models: Mapping[str, Any]) -> str:
    """SHA-256 over names and contents of the files in `root`; "unknown" without dvc.yaml. `models`: the entries of
    params.yaml, as far as they name nets and objectives."""
    if not (root / "dvc.yaml").exists():
        return UNKNOWN
    digest = hashlib.sha256()
    for file in sorted({file for path in list_code(root, model, models) for file in _files_at(path)}):
        digest.update(f"{file.relative_to(root).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def list_code(root: Path, model: str, models: Mapping[str, Any]) -> Iterator[Path]:
    """The files and folders of code that both stages of `model` depend on."""
    context = {"key": model, "item": models[model], "models": models}
    stages = read_yaml(root / "dvc.yaml")["stages"]
    for dependency in (each for stage in STAGES for each in stages[stage]["do"]["deps"]):
        if dependency.startswith(CODE):
            yield root / re.sub(r"\$\{([\w.]+)\}", lambda name: _look_up(context, name[1]), dependency)


def _look_up(context: Mapping[str, Any], dotted: str) -> str:
    return str(reduce(lambda section, key: section[key], dotted.split("."), context))


def _files_at(path: Path) -> Iterator[Path]:
    yield from [path] if path.is_file() else path.rglob("*.py")
