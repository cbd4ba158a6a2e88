"""The command that reproduces the results: the arguments of `pipelines.check`."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from genlib.errors import mask_secrets
from genlib.files import read_checked_json, write_json

RECORD = Path(".genlib/command.json")


def record_command(root: Path, before: bytes, preset: str | None, assignments: Sequence[str]) -> None:
    """Note the call that changed params.yaml from `before`; one that continues the last noted call is added to it."""
    commands = _read_commands(root, before)
    if commands and not preset:
        preset, earlier = commands.pop()
        assignments = [*earlier, *assignments]
    commands.append((preset or "", [mask_secrets(assignment) for assignment in assignments]))
    write_json({"commands": commands, "params_sha256": _sha256((root / "params.yaml").read_bytes())}, root / RECORD)


def repro_command(root: Path) -> str:
    """`make repro` with the presets and values that were laid over params.yaml; plain where it was edited by hand."""
    commands = _read_commands(root, (root / "params.yaml").read_bytes()) or [("", [])]
    return " && ".join(
        "make repro" + (f" PRESET={preset}" if preset else "") + (f' SET="{" ".join(values)}"' if values else "")
        for preset, values in commands
    )


def _read_commands(root: Path, params: bytes) -> list[tuple[str, list[str]]]:
    """The noted calls that led to these `params`."""
    if not (root / RECORD).exists():
        return []
    record = read_checked_json(root / RECORD, "expected what pipelines.check writes")
    return [tuple(each) for each in record["commands"]] if record["params_sha256"] == _sha256(params) else []


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
