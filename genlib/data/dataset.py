"""Prepared data: three files of images and `dataset.json`, which names them by the hash of their content.

A second domain is in `other/`, laid out alike and included in the hash of the first. Readers check each part's hash.
"""

import hashlib
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from genlib.data.catalog import find_domains
from genlib.data.config import DataConfig
from genlib.data.images import (
    MAX_IN_MEMORY_BYTES,
    AnyImages,
    Images,
    StoredImages,
    concat_resized,
    images_sha256,
    load_images,
    open_images,
    save_images,
)
from genlib.data.resizing import Resize
from genlib.data.sources import Source
from genlib.data.splits import SPLIT_NAMES, drop_duplicates, require_all_classes, split_pool
from genlib.data.streaming import BlockReader, MmapReader, StreamedImages
from genlib.errors import InputError
from genlib.files import read_checked_json, with_checksum, write_json

SUBSET_SIZE = 10_000  # images of a large set that are held in memory
INFO_FILE, DOMAIN_B_KEY, SPLIT_HASHES_KEY, RAW_KEY = "dataset.json", "other", "parts", "raw_sha256"
REQUIRED_KEYS = {"name": str, "source": str, "classes": list, "shape": list, "counts": dict, "sha256": str}
HINT = "run the `prepare` stage"


@dataclass(frozen=True)
class Dataset:
    """A prepared folder: `info` is its `dataset.json`; the three parts are read when first asked for. `classes`: names
    by label, none for data without labels; `shape`: (C, H, W) of one image."""

    folder: Path
    info: Mapping[str, Any]
    name: str
    classes: list[str]
    shape: tuple[int, int, int]
    sha256: str

    @cached_property
    def domain_b(self) -> "Dataset | None":
        """The second domain, where the folder holds one in `other/`."""
        if DOMAIN_B_KEY not in self.info:
            return None
        domain_b = load_dataset(self.folder / DOMAIN_B_KEY)
        if self.info[DOMAIN_B_KEY].get("sha256", domain_b.sha256) != domain_b.sha256:
            first, second = self.folder / INFO_FILE, domain_b.folder / INFO_FILE
            raise InputError(f"{second}: got another domain than {first} says; {HINT}")
        return domain_b

    @property
    def num_domains(self) -> int:
        return 1 if self.domain_b is None else 2

    @property
    def is_large(self) -> bool:
        """Whether the training images are streamed."""
        return int(self.info["counts"]["train"]) * math.prod(self.shape) > MAX_IN_MEMORY_BYTES

    @cached_property
    def train(self) -> Images:
        return self._load_split("train")

    @cached_property
    def valid(self) -> Images:
        return self._load_split("valid")

    @cached_property
    def test(self) -> Images:
        return self._load_split("test")

    @cached_property
    def train_stream(self) -> Images | StreamedImages:
        return self.stream_train(MmapReader) if self.is_large else self.train

    def stream_train(self, reader: Callable[[Path], BlockReader]) -> StreamedImages:
        return StreamedImages.from_reader(len(self.train), self.shape, reader(self.folder / "train.safetensors"))

    @cached_property
    def in_memory_subset(self) -> Images:
        """Training images in memory: all, or the first of a large set."""
        return self.train[torch.arange(min(SUBSET_SIZE, len(self.train)))] if self.is_large else self.train

    def load_for_workers(self, reader: Callable[[Path], BlockReader] = MmapReader) -> "Dataset":
        """Load all training data, to send it to nodes that do not see the folder; `reader` reads a large set."""
        for domain in filter(None, (self, self.domain_b)):
            _ = domain.valid, domain.in_memory_subset
            if domain.is_large:
                vars(domain)["train_stream"] = domain.stream_train(reader)
                del vars(domain)["train"]
        return self

    def open_split(self, name: str) -> StoredImages:
        """A part for evaluation, whose pixels stay in the file where they are many; or the part that is loaded."""
        if name in vars(self):
            loaded: Images = getattr(self, name)
            return StoredImages(loaded.pixels, loaded.labels)
        images = open_images(self.folder / f"{name}.safetensors")
        self._check_split(name, images)
        return images

    def _load_split(self, name: str) -> Images:
        images = load_images(self.folder / f"{name}.safetensors")
        self._check_split(name, images)
        return images

    def _check_split(self, name: str, images: AnyImages) -> None:
        path, count = self.folder / f"{name}.safetensors", self.info["counts"][name]
        if (len(images), images.shape) != (count, self.shape) or (images.labels is None) == bool(self.classes):
            raise InputError(f"{path}: got other images than {INFO_FILE} says; {HINT}")
        if images.labels is not None and not 0 <= images.labels.min() <= images.labels.max() < len(self.classes):
            raise InputError(f"{path}: got labels beyond the {len(self.classes)} classes; {HINT}")
        if SPLIT_HASHES_KEY in self.info and content_hash({name: images}) != self.info[SPLIT_HASHES_KEY].get(name):
            raise InputError(f"{path}: got other images than the hash in {INFO_FILE} says; {HINT}")


def load_dataset(folder: Path) -> Dataset:
    """Open what `prepare` wrote; raises InputError where `dataset.json` is missing or changed, or lacks a key."""
    path = folder / INFO_FILE
    info = read_checked_json(path, HINT)
    optional = {key: dict for key in (SPLIT_HASHES_KEY, DOMAIN_B_KEY) if key in info}
    for key, kind in {**REQUIRED_KEYS, **optional}.items():
        if not isinstance(info.get(key), kind):
            raise InputError(f"{path}: got no {key} of type {kind.__name__}; {HINT}")
    sizes = [*info["shape"], *(info["counts"].get(part) for part in SPLIT_NAMES)]
    if len(info["shape"]) != 3 or any(type(size) is not int or size < 1 for size in sizes):
        raise InputError(f"{path}: got shape {info['shape']}, counts {info['counts']}; {HINT}")
    channels, height, width = info["shape"]
    return Dataset(folder, info, info["name"], info["classes"], (channels, height, width), info["sha256"])


def prepare(config: DataConfig, out: Path, raw_sha256: str = "") -> dict[str, Any]:
    """Read, resize, split and write to `out`, and a second domain, of the size of the first, to `out/other`. Returns
    the content of `out/dataset.json`, whose `sha256` is over both domains. `raw_sha256`, of the files that are read,
    is noted there."""
    (source, config), *rest = find_domains(config)
    for note in source.notes:
        print(note)
    with _staged_folder(out) as folder:
        info = _build_domain(source, config, config.target_size, folder)
        if raw_sha256:
            info[RAW_KEY] = raw_sha256
        for source, config_b in rest:
            info_b = _build_domain(source, config_b, info["shape"][1:], folder / DOMAIN_B_KEY)
            config.require_same_channels([info["shape"][0], info_b["shape"][0]])
            write_json(with_checksum(info_b), folder / DOMAIN_B_KEY / INFO_FILE)
            info["sha256"] = hashlib.sha256(f"{info['sha256']} {info_b['sha256']}".encode()).hexdigest()
            info[DOMAIN_B_KEY] = {key: info_b[key] for key in ("name", "source", "counts", "sha256")}
        content = with_checksum(info)
        write_json(content, folder / INFO_FILE)
    return content


def _build_domain(source: Source, config: DataConfig, size: Sequence[int] | None, folder: Path) -> dict[str, Any]:
    """One domain, resized to `size` (H, W) where given: its parts in `folder`, and the content of its description."""
    pool, num_test = _read_pool(source, size, config.resize)
    splits, duplicates = drop_duplicates(pool, split_pool(pool, num_test, source.classes, config))
    require_all_classes(pool, splits, source.classes, config)
    saved = {}
    for name in SPLIT_NAMES:
        save_images(pool, folder / f"{name}.safetensors", splits[name])
        saved[name] = open_images(folder / f"{name}.safetensors")
    return {
        "name": source.display_name or config.name,
        "source": source.description,
        "classes": list(source.classes),
        "shape": list(pool.shape),
        "counts": {name: len(saved[name]) for name in SPLIT_NAMES},
        "sha256": content_hash(saved),
        SPLIT_HASHES_KEY: {name: content_hash({name: saved[name]}) for name in SPLIT_NAMES},
        "duplicates": duplicates,
        "split": config.split,
        "seed": config.seed,
        "image_size": config.image_size,
        "resize": config.resize,
    }


def _read_pool(source: Source, size: Sequence[int] | None, resize: Resize) -> tuple[Images, int]:
    """All images, and how many at their end are the official test set."""
    train, test = source.train(), source.test() if source.test else None
    pool = concat_resized([train, test] if test else [train], size, resize)
    return pool, len(test) if test else 0


def content_hash(splits: Mapping[str, AnyImages]) -> str:
    """SHA-256 over shapes, pixels and labels of the parts, whatever file holds them."""
    return images_sha256({f"{name} ": splits[name] for name in SPLIT_NAMES if name in splits})


@contextmanager
def _staged_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write in, moved there file by file, the description last: a folder with one is whole."""
    partial = out.with_name(out.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        yield partial
        out.mkdir(parents=True, exist_ok=True)
        (out / INFO_FILE).unlink(missing_ok=True)
        shutil.rmtree(out / DOMAIN_B_KEY, ignore_errors=True)
        for path in sorted(partial.iterdir(), key=lambda path: path.name == INFO_FILE):
            path.replace(out / path.name)
    except OSError as error:
        raise InputError(f"{out}: got that it cannot be written ({error}), expected a folder with room") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
