"""A JSON file that says which version wrote it and, by a hash of all that it says, whether it was changed since.

One without version or seal, written before there were any, is read as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genlib.errors import InputError

VERSION = 1
SEAL = "seal"


def sealed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """`facts` as JSON has them, with the version and, last, the seal."""
    said = json.loads(json.dumps({**facts, "version": VERSION}))
    return {**said, SEAL: _hash(said)}


def unsealed(path: Path, mend: str) -> dict[str, Any]:
    """The content of a sealed file; `mend` is what errors advise.

    Raises:
        InputError: it is no JSON mapping, a later genlib wrote it, or it was changed since it was written.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}); {mend}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: found a JSON {type(found).__name__}; {mend}")
    require_version(found.get("version", VERSION), VERSION, path)
    said = {key: value for key, value in found.items() if key != SEAL}
    if SEAL in found and found[SEAL] != _hash(said):
        raise InputError(f"{path}: found that it was changed since it was written; {mend}")
    return found


def require_version(found: object, newest: int, path: Path) -> None:
    """Refuse what a later genlib wrote."""
    if type(found) is not int or not 1 <= found <= newest:
        raise InputError(f"{path}: found version {found!r:.40}, legal: up to {newest}; a later genlib wrote it")


def _hash(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
