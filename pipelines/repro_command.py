"""The command that reproduces the results: the arguments of `pipelines.check`."""

import hashlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from genlib.errors import mask_secrets
from genlib.files import read_checked_json, write_json

RECORD = Path(".genlib/command.json")


class ReproCall(NamedTuple):
    """The arguments of one `make repro`, without secrets; empty where it had none."""

    data: str
    preset: str
    assignments: list[str]

    def __str__(self) -> str:
        """As a shell takes it."""
        given = {"DATA": shlex.quote(self.data) if self.data else "", "PRESET": self.preset}
        given["SET"] = f'"{" ".join(self.assignments)}"' if self.assignments else ""
        return " ".join(["make repro", *(f"{key}={value}" for key, value in given.items() if value)])


def record_command(
    root: Path, before: bytes, preset: str | None, assignments: Sequence[str], data: str | None = None
) -> None:
    """Note the call that changed params.yaml from `before`; one that continues the last noted call is added to it."""
    commands = _read_commands(root, before)
    if commands and not preset and not data:
        *commands, last = commands
        data, preset, assignments = last.data, last.preset, [*last.assignments, *assignments]
    masked = [mask_secrets(assignment) for assignment in assignments]
    commands.append(ReproCall(mask_secrets(data or ""), preset or "", masked))
    write_json({"commands": commands, "params_sha256": _sha256((root / "params.yaml").read_bytes())}, root / RECORD)


def repro_command(root: Path) -> str:
    """`make repro` with all that was laid over params.yaml; plain where it was edited by hand."""
    return " && ".join(map(str, _read_commands(root, (root / "params.yaml").read_bytes()))) or "make repro"


def _read_commands(root: Path, params: bytes) -> list[ReproCall]:
    """The noted calls that led to these `params`."""
    if not (root / RECORD).exists():
        return []
    record = read_checked_json(root / RECORD, "expected what pipelines.check writes")
    same = record["params_sha256"] == _sha256(params)
    return [ReproCall(*each) for each in record["commands"] if len(each) == len(ReproCall._fields)] if same else []


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
