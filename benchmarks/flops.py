"""How much of the machine a training step uses: its GFLOP/s against those of a large matrix product.

DCGAN of width 64 at 32 pixels, in float32, by our loop; a product and its sum count as two operations. In turns in
one process; `python -m benchmarks.flops [--rounds N] [--seconds S]`; the ratio is the median over pairs.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from benchmarks.loops import Task, images_per_second, ours
from benchmarks.peers import make_digits
from benchmarks.results import record
from genlib.data.images import save_images
from genlib.training.config import TrainConfig
from genlib.training.job import TrainingSpec
from pipelines.flops import flops_per_image

BOUND = 0.6
SIDE, MATRIX_SIZE = 32, 2048
MODEL = {"name": "dcgan", "latent": 64, "width": 64, "width_d": 64}
OBJECTIVE = {"name": "adversarial"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of a window [8]")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.safetensors"
        save_images(make_digits(SIDE), file)
        task = Task(MODEL, OBJECTIVE, str(file), torch.get_num_threads())
        each, run = count_flops(task.load().shape), ours.prepare(task)
        pairs = [
            (images_per_second(run, asked.seconds) * each / 1e9, matmul_gflops(asked.seconds / 4))
            for _ in range(asked.rounds)
        ]
    detail = {
        "model": MODEL,
        "threads": torch.get_num_threads(),
        "MFLOP_an_image": round(each / 1e6, 1),
        "GFLOP_a_second": [{"training": round(step, 1), "product": round(peak, 1)} for step, peak in pairs],
    }
    name = "training: GFLOP/s of DCGAN, width 64, float32 / matrix product"
    ratios = [step / peak for step, peak in pairs]
    record(name, median(ratios), BOUND, at_least=True, detail=detail, rounds=ratios)


def count_flops(shape: tuple[int, int, int]) -> float:
    """Operations an image, of one whole step."""
    return flops_per_image(TrainingSpec("benchmark", MODEL, OBJECTIVE, TrainConfig()), shape, 0, 1)


def matmul_gflops(seconds: float) -> float:
    """GFLOP/s of float32 products of two square matrices."""
    a, b = torch.randn(2, MATRIX_SIZE, MATRIX_SIZE)
    out = torch.empty(MATRIX_SIZE, MATRIX_SIZE)
    torch.mm(a, b, out=out)
    times, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        torch.mm(a, b, out=out)
        times += 1
    return times * 2 * MATRIX_SIZE**3 / (time.perf_counter() - began) / 1e9


if __name__ == "__main__":
    main()
