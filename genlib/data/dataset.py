"""Prepared data: three files of images and `dataset.json`, which names them by the hash of their content.

A second domain lies in `other/`, laid out alike, and counts in the hash of the first. `prepare` makes the folder once;
everything after it reads the folder, each part against its own hash, and knows of no source.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

from genlib.data.config import DataConfig, blame_domain_b, find_domains, require_same_channels
from genlib.data.images import CHUNK, MAX_IN_MEMORY_BYTES, Images, allocate_pixels, load_images, save_images
from genlib.data.splits import SPLIT_NAMES, drop_duplicates, require_all_classes, split_pool
from genlib.data.streaming import BlockReader, MmapReader, StreamedImages
from genlib.errors import InputError
from genlib.files import read_checked_json, with_checksum

if TYPE_CHECKING:
    from genlib.data.sources import Source

SUBSET_SIZE = 10_000  # images of a large set that are at hand
INFO_FILE, DOMAIN_B_KEY, SPLIT_HASHES_KEY = "dataset.json", "other", "parts"
REQUIRED_KEYS: dict[str, type] = {
    "name": str,
    "source": str,
    "classes": list,
    "shape": list,
    "counts": dict,
    "sha256": str,
}


@dataclass(frozen=True)
class Dataset:
    """A prepared folder: `info` is its `dataset.json`, the three parts are read when first asked for."""

    folder: Path
    info: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.info["name"])

    @property
    def classes(self) -> list[str]:
        """Names by label; empty for data without labels."""
        return list(self.info["classes"])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.info["shape"]
        return channels, height, width

    @property
    def sha256(self) -> str:
        return str(self.info["sha256"])

    @cached_property
    def domain_b(self) -> Dataset | None:
        """The second domain, where the folder holds one in `other/`."""
        if DOMAIN_B_KEY not in self.info:
            return None
        other, path = load_dataset(self.folder / DOMAIN_B_KEY), self.folder / DOMAIN_B_KEY / INFO_FILE
        if self.info[DOMAIN_B_KEY].get("sha256", other.sha256) != other.sha256:
            raise InputError(
                f"{path}: found another domain than {self.folder / INFO_FILE} says; run the `prepare` stage"
            )
        return other

    def load_for_workers(self, reader: Callable[[Path], BlockReader] = MmapReader) -> Dataset:
        """All that training learns from, in memory, so that it can be sent to where the folder is not seen; the pieces
        of a large set are given by `reader` of its file."""
        for domain in filter(None, (self, self.domain_b)):
            _ = domain.valid, domain.in_memory_subset
            if domain.is_large:
                vars(domain)["train_stream"] = StreamedImages.from_reader(
                    len(domain.train), domain.shape, reader(domain.folder / "train.safetensors")
                )
                del vars(domain)["train"]
        return self

    @property
    def is_large(self) -> bool:
        """Whether the training images are read piece by piece."""
        return int(self.info["counts"]["train"]) * math.prod(self.shape) > MAX_IN_MEMORY_BYTES

    @cached_property
    def train_stream(self) -> Images | StreamedImages:
        """What batches of training images are taken from."""
        if not self.is_large:
            return self.train
        return StreamedImages.from_reader(len(self.train), self.shape, MmapReader(self.folder / "train.safetensors"))

    @cached_property
    def in_memory_subset(self) -> Images:
        """Training images at hand: all, or the first of a large set."""
        return self.train[torch.arange(min(SUBSET_SIZE, len(self.train)))] if self.is_large else self.train

    @property
    def num_domains(self) -> int:
        return 1 if self.domain_b is None else 2

    @cached_property
    def train(self) -> Images:
        return self._load_split("train")

    @cached_property
    def valid(self) -> Images:
        return self._load_split("valid")

    @cached_property
    def test(self) -> Images:
        return self._load_split("test")

    def _load_split(self, name: str) -> Images:
        path, count = self.folder / f"{name}.safetensors", self.info["counts"][name]
        images = load_images(path)
        if (len(images), images.shape) != (count, self.shape) or (images.labels is None) == bool(self.classes):
            raise InputError(f"{path}: found other images than {INFO_FILE} says; run the `prepare` stage")
        if images.labels is not None and not 0 <= images.labels.min() <= images.labels.max() < len(self.classes):
            raise InputError(f"{path}: found labels beyond the {len(self.classes)} classes; run the `prepare` stage")
        if SPLIT_HASHES_KEY in self.info and content_hash({name: images}) != self.info[SPLIT_HASHES_KEY].get(name):
            raise InputError(f"{path}: found other images than the hash in {INFO_FILE} says; run the `prepare` stage")
        return images


def load_dataset(folder: Path) -> Dataset:
    """Open what `prepare` wrote.

    Raises:
        InputError: `dataset.json` is missing, is not JSON, was changed since, or lacks what it must say.
    """
    path = folder / INFO_FILE
    info = read_checked_json(path, "run the `prepare` stage")
    for key, kind in REQUIRED_KEYS.items():
        if not isinstance(info.get(key), kind):
            raise InputError(f"{path}: found no {key} of type {kind.__name__}; run the `prepare` stage")
    for key in (SPLIT_HASHES_KEY, DOMAIN_B_KEY):
        if not isinstance(info.get(key, {}), dict):
            raise InputError(f"{path}: found no {key} of type dict; run the `prepare` stage")
    sizes = [*info["shape"], *(info["counts"].get(part) for part in SPLIT_NAMES)]
    if len(info["shape"]) != 3 or any(type(size) is not int or size < 1 for size in sizes):
        raise InputError(f"{path}: found shape {info['shape']}, counts {info['counts']}; run the `prepare` stage")
    return Dataset(folder, info)


def prepare(config: DataConfig, out: Path) -> dict[str, Any]:
    """Read, resize, split and write to `out`, and a second domain, of the size of the first, to `out/other`.

    Returns the content of `out/dataset.json`; with two domains its `sha256` is over both.
    """
    (source, _), *rest = find_domains(config)
    size = config.image_size
    with _staged_folder(out) as folder:
        info = _build_domain(source, config, (size, size) if size else None, folder)
        for source, own in rest:
            with blame_domain_b():
                other = _build_domain(source, own, info["shape"][1:], folder / DOMAIN_B_KEY)
            require_same_channels([info["shape"][0], other["shape"][0]], config)
            _write_info(other, folder / DOMAIN_B_KEY)
            info["sha256"] = hashlib.sha256(f"{info['sha256']} {other['sha256']}".encode()).hexdigest()
            info[DOMAIN_B_KEY] = {key: other[key] for key in ("name", "source", "counts", "sha256")}
        _write_info(info, folder)
    return with_checksum(info)


def _build_domain(
    source: Source, config: DataConfig, height_width: Sequence[int] | None, folder: Path
) -> dict[str, Any]:
    """One domain, resized to `sides` (H, W) where they are given: its parts in `folder`, and what to say of it."""
    train, test = source.train(), source.test() if source.test else None
    pool, tested = concat_resized([train, test] if test else [train], height_width), len(test) if test else 0
    parts, duplicates = drop_duplicates(pool, split_pool(pool, tested, source.classes, config))
    require_all_classes(pool, parts, source.classes, config)
    for name in SPLIT_NAMES:
        save_images(pool, folder / f"{name}.safetensors", parts[name])
    saved = {name: load_images(folder / f"{name}.safetensors") for name in SPLIT_NAMES}
    return {
        "name": config.name,
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
    }


def concat_resized(sets: Sequence[Images], height_width: Sequence[int] | None) -> Images:
    """The sets one after the other, resized to `sides` (H, W) where they are given; labelled if all are."""
    channels, *own = sets[0].shape
    for images in sets:
        if height_width is None and images.shape[1:] != (own[0], own[1]):
            raise InputError(
                f"data.image_size: got null, but images of {own} and {list(images.shape[1:])}, expected a size"
            )
    height_width = own if height_width is None else height_width
    if len(sets) == 1 and height_width == own:
        return sets[0]
    pixels, at = allocate_pixels(sum(map(len, sets)), (channels, *height_width)), 0
    for some in (some for images in sets for some in torch.split(images.pixels, CHUNK)):
        pixels[at : at + len(some)] = resize(Images(some), *height_width).pixels
        at += len(some)
    labels = [images.labels for images in sets if images.labels is not None]
    return Images(pixels, torch.cat(labels) if len(labels) == len(sets) else None)


def resize(images: Images, height: int, width: int, *, chunk: int = 1024) -> Images:
    """To [N, C, height, width], bicubic with antialiasing, overshoot clipped.

    In float64 and with ties rounded up, so that every machine gets the same bytes.
    """
    if images.shape[1:] == (height, width):
        return images
    chunks = torch.split(images.pixels, chunk)
    return Images(torch.cat([_resize_chunk(pixels, height, width) for pixels in chunks]), images.labels)


def _resize_chunk(pixels: Tensor, height: int, width: int) -> Tensor:
    x = F.interpolate(pixels.double(), (height, width), mode="bicubic", antialias=True)
    return x.add_(0.5 + 1e-6).floor_().clamp_(0, 255).to(torch.uint8)


def content_hash(splits: Mapping[str, Images]) -> str:
    """SHA-256 over shapes, pixels and labels of the parts, whatever file holds them."""
    digest = hashlib.sha256()
    for name, images in sorted(splits.items(), key=lambda part: SPLIT_NAMES.index(part[0])):
        digest.update(f"{name} {tuple(images.pixels.shape)} {images.labels is not None};".encode())
        digest.update(images.pixels.contiguous().numpy().data)
        if images.labels is not None:
            digest.update(images.labels.numpy().astype("<i8").data)
    return digest.hexdigest()


@contextmanager
def _staged_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` to write in; afterwards it moves there file by file, the description last: a folder that
    has one is whole."""
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


def _write_info(info: Mapping[str, Any], folder: Path) -> None:
    (folder / INFO_FILE).write_text(
        json.dumps(with_checksum(info), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
    )
