"""What streaming costs, and that its memory is flat: 200,000 images under an object store of 1 GiB.

A GAN learns from 32 x 32 images in colour (0.6 GB) with two workers, each with one thread: once streamed from the
driver's disk, once from memory. `python -m benchmarks.streaming [--passes N]`; the first ratio is of images per second,
the second of what all processes hold to themselves at the end against the second quarter of the run, by their unique
set size, the object store added.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import psutil
import torch

from benchmarks.results import record
from genlib.data import dataset
from genlib.data.images import Images, save_images
from genlib.data.random import seeded_generator
from genlib.distributed.session import configure_ray_env
from genlib.distributed.train import train_distributed
from genlib.files import with_checksum
from genlib.training.config import TrainConfig
from genlib.training.job import TrainingJob
from genlib.training.loop import Progress
from pipelines.console import open_console

IMAGES, SHAPE, MIB = 200_000, (3, 32, 32), 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--passes", type=float, default=2.0, help="over the images [2]")
    asked = parser.parse_args()
    configure_ray_env()
    import ray

    ray.init(address="local", include_dashboard=False, object_store_memory=2**30, log_to_driver=False)
    with tempfile.TemporaryDirectory() as folder:
        data = write_noise_dataset(Path(folder) / "data")
        streamed = run_training(data, Path(folder), int(asked.passes * IMAGES), large=True)
        held = run_training(data, Path(folder), int(asked.passes * IMAGES), large=False)
    detail = {"images": IMAGES, "MiB": IMAGES * 3 * 32 * 32 // MIB, "streamed": streamed, "held": held}
    speed = streamed["images_per_second"] / held["images_per_second"]
    record("streaming: images/s of a streamed set / one in memory", speed, 0.9, at_least=True, detail=detail)
    growth = streamed["MiB_by_quarter"][-1] / streamed["MiB_by_quarter"][1]
    record("streaming: memory at the end / after a quarter", growth, 1.05, at_least=False, detail=detail)


def write_noise_dataset(folder: Path, images: int = IMAGES) -> Path:
    """A prepared set of noise."""
    counts = {"train": images, "valid": 1000, "test": 1000}
    for part, count in counts.items():
        pixels = torch.randint(0, 256, (count, *SHAPE), dtype=torch.uint8, generator=seeded_generator(0, part))
        save_images(Images(pixels), folder / f"{part}.safetensors")
    info = {"name": "noise", "source": "made", "classes": [], "shape": SHAPE, "counts": counts, "sha256": "0" * 64}
    (folder / dataset.INFO_FILE).write_text(json.dumps(with_checksum(info)))
    return folder


def run_training(data: Path, folder: Path, images: int, *, large: bool) -> dict[str, Any]:
    """Images per second, and MiB held in each quarter of the run."""
    dataset.MAX_IN_MEMORY_BYTES = 0 if large else 2**40
    plan = TrainConfig(images, 128, workers=2, report_every=images // 40, checkpoint_every=images, precision="float32")
    job = TrainingJob(
        "gan", {"name": "gan", "latent": 16, "width": 8}, {"name": "adversarial"}, plan, dataset.load_dataset(data)
    )
    seen: list[tuple[float, int]] = []
    with sample_memory() as held, open_console("streamed" if large else "held") as console:

        def hear(progress: Progress) -> None:
            seen.append((time.monotonic(), progress.images_seen))
            console.show_progress(progress)

        train_distributed(job, str(folder / "ray"), "streaming", hear)
    (began, first), (ended, last) = seen[1], seen[-1]
    taken = [size for at, size in held if began <= at <= ended]
    quarters = [taken[n * len(taken) // 4 : (n + 1) * len(taken) // 4] for n in range(4)]
    return {
        "images_per_second": round((last - first) / (ended - began)),
        "MiB_by_quarter": [round(fmean(quarter)) for quarter in quarters],
    }


@contextmanager
def sample_memory() -> Iterator[list[tuple[float, int]]]:
    """When, and how many MiB this process and those it began hold to themselves, looked at every second."""
    held: list[tuple[float, int]] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(1):
            held.append((time.monotonic(), total_memory_mib()))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield held
    finally:
        ended.set()
        thread.join()


def total_memory_mib() -> int:
    total = object_store_bytes()
    here = psutil.Process()
    for process in (here, *here.children(recursive=True)):
        try:
            total += process.memory_full_info().uss
        except psutil.Error:
            continue
    return total // MIB


def object_store_bytes() -> int:
    """Bytes of the object store in use."""
    import ray

    there, free = ray.cluster_resources(), ray.available_resources()
    return int(there.get("object_store_memory", 0) - free.get("object_store_memory", 0))


if __name__ == "__main__":
    main()
