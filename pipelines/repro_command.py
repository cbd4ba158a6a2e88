"""The command that makes the results again: `make repro` with what was laid over the params of the commit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genlib import provenance
from genlib.params import expand_dotted, flatten_dotted, merge, parse_yaml, read_yaml

SHELL_SAFE = re.compile(r"[\w.,:=+/\[\]-]+")  # what two shells and make pass on as it is


def repro_command(root: Path) -> str:
    """With a preset and single values where the params differ from the commit's; the shortest that does it.

    Plain `make repro` where nothing differs, where there is no commit to compare with, and where no command says the
    difference: the params themselves stand on the page.
    """
    committed = provenance.read_committed(root, "params.yaml")
    if not committed:
        return "make repro"
    base, now = parse_yaml(committed, "params.yaml"), read_yaml(root / "params.yaml")
    return min(_candidate_commands(base, now, root / "presets"), key=len, default="make repro")


def _candidate_commands(base: Mapping[str, Any], current: Mapping[str, Any], presets: Path) -> Iterator[str]:
    laid = {path.stem: read_yaml(path) for path in sorted(presets.glob("*.yaml"))}
    for name, changes in {"": {}, **laid}.items():
        start = merge(base, changes)
        values = _changed_values(start, current)
        words = [f"{key}={value}" for key, value in values.items()]
        read = expand_dotted({key: parse_yaml(value, key) for key, value in values.items()})
        if merge(start, read) == current and all(SHELL_SAFE.fullmatch(word) for word in words):
            yield "make repro" + (f" PRESET={name}" if name else "") + (f' SET="{" ".join(words)}"' if words else "")


def _changed_values(start: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, str]:
    """Dotted keys whose values differ, as they are written; a whole section that is gone is null."""
    before, after = flatten_dotted(start), flatten_dotted(current)
    changed = {key: value for key, value in after.items() if key not in before or before[key] != value}
    gone = {_missing_prefix(key, current): None for key in before if key not in after}
    return {key: _format_value(value) for key, value in (gone | changed).items()}


def _missing_prefix(key: str, current: Any) -> str:
    """The shortest beginning of a dotted key that is not there now."""
    parts: list[str] = []
    for part in key.split("."):
        parts.append(part)
        if not isinstance(current, Mapping) or part not in current:
            break
        current = current[part]
    return ".".join(parts)


def _format_value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_format_value, value))}]"
    return value if isinstance(value, str) else json.dumps(value)
