"""Where a training step's time goes: the operators of our loop, by the time in themselves.

DCGAN of width 32 and the VAE at 32 pixels, in float32, with one thread, so that what other processes take spreads over
all alike; `python -m benchmarks.profile` prints a table for each, in Markdown.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.floor import GAN, SIDE, VAE
from benchmarks.loops import BATCH, REPORT_EVERY, Task
from benchmarks.peers import make_digits
from genlib.data.images import save_images
from genlib.training.loop import train

STEPS, NUM_OPERATORS = REPORT_EVERY // BATCH, 12


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "images.safetensors"
        save_images(make_digits(SIDE), file)
        for objective, model in (("adversarial", GAN), ("elbo", VAE)):
            print(f"{model['name']}\n{operator_table(Task(model, {'name': objective}, str(file), threads=1))}\n")


def operator_table(task: Task) -> str:
    """The operators that take longest, of the steps between two reports."""
    images = task.load()
    state, plan = task.start(images.shape)
    reports = train(state, images, plan)
    next(reports)
    with profile(activities=[ProfilerActivity.CPU]) as watched:
        next(reports)
    events = sorted(watched.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    rows = [
        f"| `{event.key}` | {100 * event.self_cpu_time_total / total:.1f} % | "
        f"{event.self_cpu_time_total / 1000 / STEPS:.2f} | {event.count / STEPS:.0f} |"
        for event in events[:NUM_OPERATORS]
    ]
    return "\n".join(["| operator | share | ms a step | calls a step |\n|:--|--:|--:|--:|", *rows])


if __name__ == "__main__":
    main()
