"""All nearest neighbours of 10,000 among 60,000 rows of 784 numbers, against the matrix products that they need.

`python -m benchmarks.neighbours [--root FOLDER] [--rounds N] [--k K]`; some minutes. The digits of MNIST, test among
train, where the raw files are in FOLDER, else uniform random numbers. The bare products are made in the same chunks, by
the same threads, in turn with the search; the ratio is the median over pairs. Memory is the peak of a process of its
own that makes the data and searches once, all that it ever held included.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.results import record
from genlib.data.config import DataConfig
from genlib.data.sources import mnist
from genlib.errors import InputError
from genlib.metrics.stats.neighbours import CHUNK_ELEMENTS, nearest

NUM_QUERIES, NUM_ROWS, NUM_FEATURES = 10_000, 60_000, 784
BOUND, BOUND_GIB = 1.3, 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("data/raw"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--once", action="store_true", help="search once and print the peak memory in GiB")
    asked = parser.parse_args()
    name, x, among = load_rows(asked.root)
    if asked.once:
        nearest(x, among, asked.k)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
        return
    gib = peak_memory_gib(asked.root, asked.k)
    rows = [
        (run_timed(lambda: nearest(x, among, asked.k)), run_timed(lambda: bare_products(x, among)))
        for _ in range(asked.rounds)
    ]
    detail: dict[str, Any] = {
        "data": name,
        "k": asked.k,
        "threads": torch.get_num_threads(),
        "seconds": [{"search": round(search, 2), "products": round(bare, 2)} for search, bare in rows],
    }
    ratios = [search / bare for search, bare in rows]
    name = "neighbours: search / bare matrix products"
    record(name, median(ratios), BOUND, at_least=False, detail=detail, rounds=ratios)
    memory = {"gib": round(gib, 3), "data": name, "k": asked.k}
    record("neighbours: peak memory / 1.5 GiB", gib / BOUND_GIB, 1.0, at_least=False, detail=memory)


def load_rows(root: Path) -> tuple[str, Tensor, Tensor]:
    """What it is, and float32 rows [10000, 784] and [60000, 784] in [0, 1]."""
    try:
        source = mnist(DataConfig(name="mnist", root=root))
    except InputError:
        generator = torch.Generator().manual_seed(0)
        x, among = (torch.rand(n, NUM_FEATURES, generator=generator) for n in (NUM_QUERIES, NUM_ROWS))
        return "uniform random numbers", x, among
    return "MNIST, test among train", to_rows(source.test().pixels), to_rows(source.train().pixels)


def to_rows(pixels: Tensor) -> Tensor:
    return pixels.flatten(1).float().div_(255)


def bare_products(x: Tensor, among: Tensor) -> None:
    """The products of all rows, in chunks as large as those of the search."""
    rows = CHUNK_ELEMENTS // len(among)
    out = torch.empty(rows, len(among))
    for part in torch.split(x, rows):
        torch.mm(part, among.T, out=out[: len(part)])


def run_timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_memory_gib(root: Path, k: int) -> float:
    """GiB, of a fresh process that searches once."""
    command = [sys.executable, "-m", "benchmarks.neighbours", "--once", "--root", str(root), "--k", str(k)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
