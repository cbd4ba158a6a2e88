"""The small files that stages write and read: JSON and CSV, whole or not at all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from genlib.errors import InputError


def write_text(text: str, path: Path) -> None:
    """Write under a temporary name, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_json(content: Any, path: Path) -> None:
    write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", path)


def read_json(path: Path) -> Any:
    """The content of a JSON file that an earlier stage wrote."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON ({error}), expected the file that its stage writes") from error


def write_yaml(content: Any, path: Path) -> None:
    from ruamel.yaml import YAML

    text = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(content, text)
    write_text(text.getvalue(), path)


def write_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write `rows` under `columns`; what a row lacks, or None, is left empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(text.getvalue(), path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def put(path: Path, url: str) -> None:
    """Copy a file to a folder's path or a URL."""
    from fsspec.core import url_to_fs

    files, target = url_to_fs(url)
    files.put_file(str(path), target)


def get(url: str, path: Path) -> None:
    """Copy a file from there, whole or not at all."""
    from fsspec.core import url_to_fs

    files, source = url_to_fs(url)
    partial = path.with_name(f".{path.name}.partial")
    files.get_file(source, str(partial))
    partial.replace(path)
