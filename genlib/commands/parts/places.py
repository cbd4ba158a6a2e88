"""Where a command may write: a place that cannot be made or written to is a wrong input, and a file comes whole."""

from __future__ import annotations

import os
from pathlib import Path

from genlib.errors import InputError


def made(folder: Path, option: str) -> Path:
    """`folder`, there by now."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{option}: found that {folder} cannot be made ({error.strerror}), legal: a folder") from error
    return folder


def writable(path: Path, option: str) -> None:
    """Make the folder of `path`, and complain before the work rather than after it."""
    if path.is_dir():
        raise InputError(f"{option}: found the folder {path}, legal: a file")
    if not os.access(made(path.parent, option), os.W_OK):
        raise InputError(f"{option}: found {path}, which cannot be written, legal: a file")


def write_text(text: str, path: Path) -> None:
    """Under a temporary name, then renamed."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
