"""The command that makes the results again: `make repro` with what was laid over the params of the commit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from genlib import provenance
from genlib.params import merge, nested, parse_yaml, read_yaml
from genlib.tracking.journal import flat

PLAIN = re.compile(r"[\w.,:=+/\[\]-]+")  # what two shells and make pass on as it is


def command(root: Path) -> str:
    """With a preset and single values where the params differ from the commit's; the shortest that does it.

    Plain `make repro` where nothing differs, where there is no commit to compare with, and where no command says the
    difference: the params themselves stand on the page.
    """
    committed = provenance.committed(root, "params.yaml")
    if not committed:
        return "make repro"
    base, now = parse_yaml(committed, "params.yaml"), read_yaml(root / "params.yaml")
    return min(_commands(base, now, root / "presets"), key=len, default="make repro")


def _commands(base: Mapping[str, Any], now: Mapping[str, Any], presets: Path) -> Iterator[str]:
    laid = {path.stem: read_yaml(path) for path in sorted(presets.glob("*.yaml"))}
    for name, changes in {"": {}, **laid}.items():
        start = merge(base, changes)
        values = _differences(start, now)
        words = [f"{key}={value}" for key, value in values.items()]
        read = nested({key: parse_yaml(value, key) for key, value in values.items()})
        if merge(start, read) == now and all(PLAIN.fullmatch(word) for word in words):
            yield "make repro" + (f" PRESET={name}" if name else "") + (f' SET="{" ".join(words)}"' if words else "")


def _differences(start: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, str]:
    """Dotted keys whose values differ, as they are written; a whole section that is gone is null."""
    before, after = flat(start), flat(now)
    changed = {key: value for key, value in after.items() if key not in before or before[key] != value}
    gone = {_outermost(key, now): None for key in before if key not in after}
    return {key: _written(value) for key, value in (gone | changed).items()}


def _outermost(key: str, now: Any) -> str:
    """The shortest beginning of a dotted key that is not there now."""
    parts: list[str] = []
    for part in key.split("."):
        parts.append(part)
        if not isinstance(now, Mapping) or part not in now:
            break
        now = now[part]
    return ".".join(parts)


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return value if isinstance(value, str) else json.dumps(value)
