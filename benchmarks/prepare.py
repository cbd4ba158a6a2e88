"""What preparing a folder of photographs costs beside decoding them: 60,000 JPEGs of 32 x 32 pixels, in classes.

`python -m benchmarks.prepare [--rounds N] [--images N] [--data FOLDER]`. The first two ratios are of images per second:
all of `prepare` (listing, decoding, duplicates, split, hashes, writing) by one process on one core and by two on two,
against a bare loop of Pillow on one (open, convert, copy into an array). The third is the peak of memory against 1 GiB,
of the process that prepares; those that decode hold a few MiB each. FOLDER: of the Parquet files train-*.parquet, whose
column `image` holds JPEGs, such as CIFAR-10's; without it the files are noise.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.alone import IsolatedWork
from benchmarks.results import record
from genlib.data.config import DataConfig
from genlib.data.processes import map_in_processes, map_patiently

SIDE, NUM_CLASSES, NUM_TRIED = 32, 10, 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--data", type=Path)
    asked = parser.parse_args()
    jpegs = read_jpegs(asked.data, asked.images) if asked.data else draw_jpegs(asked.images)
    with tempfile.TemporaryDirectory() as place:
        pictures, few = Path(place) / "pictures", Path(place) / "few"
        write_pictures(pictures, jpegs)
        write_pictures(few, jpegs[:NUM_TRIED])
        works: dict[str, Callable[..., Any]] = {"bare": decode_bare, "one": prepare_by_one, "two": prepare_by_two}
        with_files = (str(pictures), str(few))
        isolated = {name: IsolatedWork(set_up, work, *with_files) for name, work in works.items()}
        for each in isolated.values():
            each.__enter__()
        rounds = [{name: each() for name, each in isolated.items()} for _ in range(asked.rounds)]
        for each in isolated.values():
            each.__exit__()
    seconds = {name: round(median(found[name].seconds for found in rounds), 2) for name in works}
    peaks = {name: max(found[name].peak for found in rounds) for name in works}
    detail = {"images": asked.images, "seconds": seconds, "MiB": peaks}
    for name, bound in (("one", 0.8), ("two", 1.6)):
        ratios = [found["bare"].seconds / found[name].seconds for found in rounds]
        title = f"prepare: images/s on {name} core{'s' * (name == 'two')} / a bare Pillow loop on one"
        record(title, median(ratios), bound, at_least=True, detail=detail, rounds=ratios)
    record("prepare: peak memory / 1 GiB", peaks["one"] / 1024, 1.0, at_least=False, detail=detail)


def write_pictures(root: Path, jpegs: Sequence[bytes]) -> None:
    """JPEG files in a folder for each class."""
    for number, data in enumerate(jpegs):
        path = root / f"class{number % NUM_CLASSES}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def read_jpegs(folder: Path, count: int) -> list[bytes]:
    from pyarrow.parquet import read_table

    columns = [read_table(path, columns=["image"]).column(0) for path in sorted(folder.glob("train-*.parquet"))]
    files = [value["bytes"].as_py() for column in columns for value in column]
    return [files[number % len(files)] for number in range(count)]


def draw_jpegs(count: int) -> list[bytes]:
    import io

    from PIL import Image

    drawn, generator = [], np.random.default_rng(0)
    for _ in range(count):
        Image.fromarray(generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(file := io.BytesIO(), "JPEG")
        drawn.append(file.getvalue())
    return drawn


def set_up(work: Callable[..., Any], pictures: str, few: str) -> tuple[str, str]:
    """Keep to as many cores as the work is for, and try it on little, so that all is imported."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[: 2 if work is prepare_by_two else 1])
    out = tempfile.mkdtemp()
    work(few, out)
    return pictures, out


def decode_bare(pictures: str, out: str) -> None:
    from PIL import Image

    paths = [path for folder in sorted(Path(pictures).iterdir()) for path in sorted(folder.iterdir())]
    pixels = np.empty((len(paths), SIDE, SIDE, 3), np.uint8)
    for row, path in enumerate(paths):
        with Image.open(path) as image:
            pixels[row] = np.asarray(image.convert("RGB"))


def prepare_by_one(pictures: str, out: str) -> None:
    prepare(pictures, out, map_chunks=map)


def prepare_by_two(pictures: str, out: str) -> None:
    prepare(pictures, out, map_chunks=partial(map_patiently, partial(map_in_processes, 2)))


def prepare(pictures: str, out: str, **options: Any) -> None:
    from genlib.data import dataset

    config = DataConfig("folder", Path(pictures), image_size=SIDE)
    dataset.prepare(replace(config, **options), Path(out) / "prepared")


if __name__ == "__main__":
    main()
