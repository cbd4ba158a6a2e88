"""Atomic writes, hashes, and JSON with a checksum."""

import csv
import fcntl
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from genlib.errors import InputError

FORMAT_VERSION = 1
CHECKSUM_KEY = "seal"


@contextmanager
def atomic_path(path: Path, *, shared: bool = False) -> Iterator[Path]:
    """A path beside `path` to write a file to, which takes its place when the `with` block ends well; `shared`: several
    processes may write the same file at once. A device or pipe is written to; a link stays a link, except one to a
    read-only file, as those in DVC's cache are."""
    if is_stream(path):
        with tempfile.TemporaryDirectory() as folder:
            yield (partial := Path(folder) / path.name)
            _write_through(partial.read_bytes(), path)
        return
    target = Path(os.path.realpath(path))
    if path.is_symlink() and not (target.exists() and not target.stat().st_mode & 0o222):
        path = target
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial" if shared else f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def is_stream(path: Path) -> bool:
    """Whether `path` is a device, a pipe, or where this process prints to."""
    try:
        found = path.stat()
        is_special = not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode)
        return is_special or any(os.path.samestat(found, os.fstat(number)) for number in (1, 2))
    except OSError:
        return False


def _write_through(content: bytes, path: Path) -> None:
    """Write to a stream, in turn with what this process prints there; a reader may leave early."""
    sys.stdout.flush()
    own = [number for number in (1, 2) if os.path.samestat(path.stat(), os.fstat(number))]
    with suppress(BrokenPipeError), open(own[0] if own else path, "ab", closefd=not own) as file:
        file.write(content)


def append_line(line: str, path: Path) -> None:
    """Write a line to the disk at the end of a file, whole or not at all."""
    rest = f"{line}\n".encode()
    with path.open("ab", buffering=0) as file:
        length = file.tell()
        try:
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(length)
            raise


def write_bytes(content: bytes, path: Path, *, fsync: bool = False) -> None:
    """Write a whole file or nothing; `fsync`: return once the content is on the disk."""
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(content)
        if fsync:
            file.flush()
            os.fsync(file.fileno())


def write_text(text: str, path: Path) -> None:
    write_bytes(text.encode(), path)


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """A folder to write in, which takes the place of `folder` when the `with` block ends well."""
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(content: Any, path: Path) -> None:
    write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", path)


def write_yaml(content: Any, path: Path) -> None:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    with atomic_path(path) as partial:
        yaml.dump(content, partial)


def write_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write `rows` under `columns`; what a row lacks, or None, is left empty."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def file_lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the file lock `path`, which the system frees however the process ends; False where it is not free."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def keep_last_used(paths: Iterable[Path], count: int) -> None:
    """Of these files, remove all but the `count` that were touched last."""
    for _, old in sorted((_last_used_time(path), path) for path in paths)[:-count]:
        old.unlink(missing_ok=True)


def _last_used_time(path: Path) -> float:
    """When it was last used; 0 where another process has removed it meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(folder: Path, option: str) -> Path:
    """Make `folder`, which `option` named; raises InputError where that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        found = f"that {folder} cannot be created ({error.strerror})"
        raise InputError(f"{option}: got {found}, expected a folder") from error
    return folder


def require_writable(path: Path, option: str) -> None:
    """Create the folder of `path`, and fail before the work rather than after it."""
    if path.is_dir():
        raise InputError(f"{option}: got the folder {path}, expected a file")
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if not os.access(path if is_stream(path) else make_folder(target.parent, option), os.W_OK):
        raise InputError(f"{option}: got {path}, which cannot be written, expected a file")


def upload(path: Path, url: str) -> None:
    from fsspec.core import url_to_fs

    files, target = url_to_fs(url)
    files.makedirs(target.rpartition("/")[0], exist_ok=True)
    files.put_file(str(path), f"{target}.partial")
    files.mv(f"{target}.partial", target)


def download(url: str, path: Path) -> None:
    """Copy a file from there, whole or not at all."""
    from fsspec.core import url_to_fs

    files, source = url_to_fs(url)
    with atomic_path(path) as partial:
        files.get_file(source, str(partial))


def with_checksum(facts: Mapping[str, Any]) -> dict[str, Any]:
    """`facts` as JSON, with the version and, last, a hash of the content."""
    content = json.loads(json.dumps({**facts, "version": FORMAT_VERSION}))
    return {**content, CHECKSUM_KEY: json_sha256(content)}


def read_checked_json(path: Path, hint: str) -> dict[str, Any]:
    """The content of a file with a checksum, or of one without; raises InputError, which ends with `hint`, where it is
    no JSON mapping, a later genlib wrote it, or it was changed since it was written."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: got a file that cannot be read as JSON ({error}); {hint}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: got a JSON {type(found).__name__}; {hint}")
    require_version(found.get("version", FORMAT_VERSION), FORMAT_VERSION, path)
    content = {key: value for key, value in found.items() if key != CHECKSUM_KEY}
    if CHECKSUM_KEY in found and found[CHECKSUM_KEY] != json_sha256(content):
        raise InputError(f"{path}: got other content than was written; {hint}")
    return found


def require_version(found: object, newest: int, path: Path) -> None:
    if type(found) is not int or not 1 <= found <= newest:
        raise InputError(f"{path}: got version {found!r:.40}, expected up to {newest}; a later genlib wrote it")


def json_sha256(content: Any) -> str:
    """The SHA-256 of a value as JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
