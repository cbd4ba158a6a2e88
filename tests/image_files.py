"""Image files and folders of them, for tests."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from genlib.data.config import DataConfig

DIGITS = DataConfig()


fresh = itertools.count()


def picture(path: Path, mode: str = "L", size: tuple[int, int] = (9, 7), value: int | None = None) -> Path:
    """An image file unlike every other; with `value`, of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    pixels = np.random.default_rng(next(fresh)).integers(0, 256, shape, dtype=np.uint8)
    if value is not None:
        pixels[:] = value
    Image.fromarray(pixels).save(path)
    return path


def classes(root: Path, count: int = 4, **looks) -> Path:
    for name in ("cat", "dog"):
        for index in range(count):
            picture(root / name / f"{index}.png", **looks)
    return root


def folder(root: Path, **changes) -> DataConfig:
    return replace(DataConfig(name="folder", root=root), **changes)
