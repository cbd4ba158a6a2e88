"""Checkpoints: safetensors files `<images seen>-<sha256, 16 digits>.safetensors`, written atomically and flushed, and
read only if the content has the hash in the name. All readers raise InputError where a later genlib wrote the file."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from genlib.files import require_version, write_bytes

MAX_CHECKPOINTS = 2
CHECKPOINT_GLOB = f"{12 * '[0-9]'}-{16 * '[0-9a-f]'}.safetensors"
CHECKPOINT_VERSION = 1


class BadCheckpoint(ValueError):
    """A file that training cannot go on from; the message says why."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file as it was read."""

    path: Path
    content: bytes
    job_digest: str
    images_seen: int
    history: list[dict[str, float]]

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        return load(self.content)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names begin with `prefix` ("ema.": averaged weights, "model.": raw ones), without it."""
        return {name.removeprefix(prefix): t for name, t in self._tensors.items() if name.startswith(prefix)}


def serialize_checkpoint(
    tensors: dict[str, Tensor], job_digest: str, images_seen: int, history: list[dict[str, float]]
) -> tuple[str, bytes]:
    """Name and content of a checkpoint file."""
    metadata = {"version": CHECKPOINT_VERSION, "job": job_digest, "images_seen": images_seen, "history": history}
    content = save(tensors, metadata={"genlib": json.dumps(metadata)})
    return f"{images_seen:012d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors", content


def write_checkpoint(folder: Path, name: str, content: bytes) -> Path:
    """Write the checkpoint `name` into `folder`, whole or not at all, and keep one before it."""
    write_bytes(content, folder / name, fsync=True)
    for old in [path for path in list_checkpoints(folder) if path.name <= name][MAX_CHECKPOINTS:]:
        old.unlink()
    return folder / name


def list_checkpoints(folder: Path) -> list[Path]:
    """The files in `folder` that are named like a checkpoint, newest first."""
    return sorted((path for path in folder.glob(CHECKPOINT_GLOB) if path.is_file()), reverse=True)


def read_checkpoint(path: Path, job_digest: str | None = None) -> Checkpoint:
    """Raises BadCheckpoint where it is damaged, was renamed, or is of a job with another digest."""
    content = path.read_bytes()
    name_images, _, name_hash = path.stem.partition("-")
    if not hashlib.sha256(content).hexdigest().startswith(name_hash):
        raise BadCheckpoint("its content is not what its name says")
    metadata = _read_metadata(path)
    if metadata["images_seen"] != int(name_images):
        raise BadCheckpoint(f"it was renamed, and has seen {metadata['images_seen']} images")
    if job_digest not in (None, metadata["job"]):
        raise BadCheckpoint("it is of another job")
    return Checkpoint(path, content, metadata["job"], metadata["images_seen"], metadata["history"])


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(json.loads(file.metadata()["genlib"]))
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadCheckpoint(f"it is not a checkpoint ({error})") from error
    require_version(metadata.get("version"), CHECKPOINT_VERSION, path)
    lacking = {"job", "images_seen", "history"} - metadata.keys()
    if lacking or any("images_seen" not in row for row in metadata["history"]):
        raise BadCheckpoint(f"it is not a checkpoint (it lacks {', '.join(sorted(lacking)) or 'images_seen'})")
    return metadata


def usable_checkpoints(folder: Path | None) -> Iterator[Checkpoint]:
    """The intact checkpoints in `folder`, newest first."""
    for path in list_checkpoints(folder) if folder else []:
        with suppress(BadCheckpoint):
            yield read_checkpoint(path)


def latest_checkpoint(folder: Path | None) -> Checkpoint | None:
    return next(usable_checkpoints(folder), None)


def quarantine_checkpoints(folder: Path | None, job_digest: str) -> list[str]:
    """Rename each checkpoint in `folder` that the job of this digest cannot go on from, down to the newest that it can;
    a line for each."""
    lines = []
    for path in list_checkpoints(folder) if folder else []:
        try:
            read_checkpoint(path, job_digest)
            break
        except BadCheckpoint as error:
            path.replace(path.with_suffix(".unfit"))
            lines.append(f"passed over {path}: {error}")
    return lines
