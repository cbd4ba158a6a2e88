"""What a data set is read from: the files, their sizes and a hash, so that one that changes is noticed.

Files are read to be hashed only once: a hash is remembered with the size, the time and the number (inode) of its file.
Behind a URL the store's own word for the content of a file (etag) stands for its hash, and nothing is read.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genlib.data.catalog import resolve_source
from genlib.data.config import DataConfig
from genlib.data.sources import Source
from genlib.errors import mask_secrets
from genlib.files import file_sha256, json_sha256, write_text

CONTENT_KEYS = ("ETag", "etag", "md5Hash", "md5", "checksum", "LastModified", "last_modified", "mtime", "created")
MIN_AGE_S = 2.0  # of a change: a file that was written so lately may be written again in the same tick of the clock


@dataclass
class HashCache:
    """SHA-256 by file, remembered in the file `path`."""

    path: Path
    hashes: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with suppress(OSError, ValueError):
            self.hashes = dict(json.loads(self.path.read_bytes()))
        self.used: dict[str, list[Any]] = {}

    def sha256(self, path: str, found: os.stat_result) -> str:
        facts, known = [found.st_size, found.st_mtime_ns, found.st_ino], self.hashes.get(path, [])
        if known[:-1] != facts:
            known = [*facts, file_sha256(Path(path))]
        if time.time() - found.st_mtime > MIN_AGE_S:
            self.used[path] = known
        return str(known[-1])

    def save(self) -> None:
        """Keep the hashes that were asked for."""
        if self.used != self.hashes:
            write_text(json.dumps(self.used), self.path)


def describe_raw(config: DataConfig, cache: Path) -> dict[str, Any]:
    """`domains`: of the first domain and the second, name, root, number and bytes of the files, and a hash over their
    names and contents; `sha256` over both. `cache`: the file of hashes that are known.

    Raises:
        MissingDataError: nothing is where the data are expected.
        InputError: what is there is no data set.
    """
    hashes, second = HashCache(cache), config.for_domain_b()
    domains = [_describe_domain(each, resolve_source(each), hashes) for each in (config, second) if each]
    hashes.save()
    return {"domains": domains, "sha256": json_sha256([each["sha256"] for each in domains])}


def describe_place(config: DataConfig) -> list[dict[str, str]]:
    """The name and the root of each domain, as `describe_raw` notes them."""
    second = config.for_domain_b()
    return [{"name": each.name, "root": mask_secrets(str(each.root))} for each in (config, second) if each]


def _describe_domain(config: DataConfig, source: Source, hashes: HashCache) -> dict[str, Any]:
    digest, root, num_bytes = hashlib.sha256(source.version.encode()), str(config.root), 0
    listed = _list_local(source, hashes) if isinstance(config.root, Path) else _list_remote(config, source)
    for name, size, content in sorted(listed):
        digest.update(os.fsencode(f"{name.removeprefix(root)}\0{size}\0{content}\n"))
        num_bytes += size
    counts = {"files": len(source.files), "bytes": num_bytes, "sha256": digest.hexdigest()}
    return {**describe_place(config)[0], **counts}


def _list_local(source: Source, hashes: HashCache) -> Iterator[tuple[str, int, str]]:
    """Name, size and content of each file."""
    for path in map(str, source.files):
        found = os.stat(path)  # noqa: PTH116, twice as quick as of a Path
        yield path, found.st_size, hashes.sha256(path, found)


def _list_remote(config: DataConfig, source: Source) -> Iterator[tuple[str, int, str]]:
    root: Any = config.root
    listed: Mapping[str, Any] = root.fs.find(root.path, detail=True)
    by_path = {path.strip("/"): facts for path, facts in listed.items()}
    for path in source.files:
        facts = by_path[path.path.strip("/")]  # type: ignore[union-attr]
        content = next((str(facts[key]) for key in CONTENT_KEYS if facts.get(key)), "")
        yield str(path), int(facts.get("size") or 0), content
