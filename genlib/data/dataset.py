"""Prepared data: three files of images and `dataset.json`, which names them by the hash of their content.

`prepare` makes the folder once; everything after it reads the folder and knows of no source.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from genlib.data.images import Images, load_images, save_images
from genlib.data.settings import DataSettings, find_source
from genlib.data.splits import PARTS, drop_duplicates, require_classes, split
from genlib.errors import InputError

INFO, OTHER = "dataset.json", "other"
KEYS: dict[str, type] = {"name": str, "source": str, "classes": list, "shape": list, "counts": dict, "sha256": str}


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
    def other(self) -> Dataset | None:
        """The second domain, where the folder holds one in `other/`."""
        return load_dataset(self.folder / OTHER) if (self.folder / OTHER / INFO).exists() else None

    @property
    def domains(self) -> int:
        return 1 if self.other is None else 2

    @cached_property
    def train(self) -> Images:
        return self._part("train")

    @cached_property
    def valid(self) -> Images:
        return self._part("valid")

    @cached_property
    def test(self) -> Images:
        return self._part("test")

    def _part(self, name: str) -> Images:
        path, count = self.folder / f"{name}.safetensors", self.info["counts"][name]
        images = load_images(path)
        if (len(images), images.shape) != (count, self.shape) or (images.labels is None) == bool(self.classes):
            raise InputError(f"{path}: found other images than {INFO} says; run the `prepare` stage")
        return images


def load_dataset(folder: Path) -> Dataset:
    """Open what `prepare` wrote.

    Raises:
        InputError: `dataset.json` is missing, is not JSON or lacks what it must say.
    """
    path = folder / INFO
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: found no readable description of a data set ({error}); run `prepare`") from error
    for key, kind in KEYS.items():
        if not isinstance(info, dict) or not isinstance(info.get(key), kind):
            raise InputError(f"{path}: found no {key} of type {kind.__name__}; run the `prepare` stage")
    if len(info["shape"]) != 3 or any(type(info["counts"].get(part)) is not int for part in PARTS):
        raise InputError(f"{path}: found shape {info['shape']}, counts {info['counts']}; run the `prepare` stage")
    return Dataset(folder, info)


def prepare(settings: DataSettings, out: Path) -> dict[str, Any]:
    """Read, resize, split and write to `out`; returns the content of `dataset.json`."""
    source = find_source(settings)
    train, test = source.train(), source.test() if source.test else None
    if settings.image_size is not None:
        train, test = resize(train, settings.image_size), resize(test, settings.image_size) if test else None
    parts, duplicates = drop_duplicates(split(train, test, source.classes, settings))
    require_classes(parts, source.classes, settings)
    info = {
        "name": settings.name,
        "source": source.source,
        "classes": list(source.classes),
        "shape": list(train.shape),
        "counts": {name: len(parts[name]) for name in PARTS},
        "sha256": content_hash(parts),
        "duplicates": duplicates,
        "split": settings.split,
        "seed": settings.seed,
        "image_size": settings.image_size,
    }
    _write(parts, info, out)
    return info


def resize(images: Images, size: int, *, chunk: int = 1024) -> Images:
    """To [N, C, size, size], bicubic with antialiasing, overshoot clipped.

    In float64 and with ties rounded up, so that every machine gets the same bytes.
    """
    if images.shape[1:] == (size, size):
        return images
    return Images(torch.cat([_resize(pixels, size) for pixels in torch.split(images.pixels, chunk)]), images.labels)


def _resize(pixels: Tensor, size: int) -> Tensor:
    x = F.interpolate(pixels.double(), (size, size), mode="bicubic", antialias=True)
    return x.add_(0.5 + 1e-6).floor_().clamp_(0, 255).to(torch.uint8)


def content_hash(parts: Mapping[str, Images]) -> str:
    """SHA-256 over shapes, pixels and labels of the parts, whatever file holds them."""
    digest = hashlib.sha256()
    for name in PARTS:
        images = parts[name]
        digest.update(f"{name} {tuple(images.pixels.shape)} {images.labels is not None};".encode())
        digest.update(images.pixels.contiguous().numpy().data)
        if images.labels is not None:
            digest.update(images.labels.numpy().astype("<i8").data)
    return digest.hexdigest()


def _write(parts: Mapping[str, Images], info: Mapping[str, Any], out: Path) -> None:
    """Write beside `out`, then move file by file, the description last: a folder that has one is whole."""
    partial = out.with_name(out.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in PARTS:
            save_images(parts[name], partial / f"{name}.safetensors")
        (partial / INFO).write_text(json.dumps(info, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        out.mkdir(parents=True, exist_ok=True)
        (out / INFO).unlink(missing_ok=True)
        for name in (*(f"{part}.safetensors" for part in PARTS), INFO):
            (partial / name).replace(out / name)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{out}: found that it cannot be written ({error}), legal: a folder with room") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
