"""Training loops that take turns on one machine: each in a process of its own, in windows asked for one by one.

A file here is one loop, ours or a peer's, and runs as `python -m benchmarks.loops.<name>` in the environment that has
what it imports; of genlib only the core is used. All get the same nets, images, batches and threads. A line of JSON on
standard input, {"task": ..., "seconds": ...}, begins a window, and one with images per second ends it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from genlib.data.images import Images, load_images
from genlib.training.config import TrainConfig
from genlib.training.fit import build_objective, build_train_state
from genlib.training.job import TrainingSpec
from genlib.training.state import TrainState

BATCH = 128
REPORT_EVERY = 8 * BATCH  # images between two reports of our loop
WARMUP_IMAGES = 4 * BATCH  # images before a window's clock starts, at the least
ENDLESS = 10**12
RATE = 2e-4
BETAS = (0.5, 0.999)


class WindowOver(Exception):
    """A window has ended: what stops a loop of any make, where it stands."""


class Window:
    """So many seconds of steps; the first `WARM` images warm up and are not counted."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.seen = seconds, 0
        self.began: tuple[float, int] | None = None
        self.rate = 0.0

    def step(self, images: int) -> None:
        """To be called when a step, or several, with so many images are done."""
        self.seen += images
        now = time.perf_counter()
        if self.began is None:
            self.began = (now, self.seen) if self.seen >= WARMUP_IMAGES else None
        elif now - self.began[0] >= self.seconds:
            self.rate = (self.seen - self.began[1]) / (now - self.began[0])
            raise WindowOver


@dataclass(frozen=True)
class Task:
    """Which nets to train by which objective on the images of which file."""

    model: dict[str, Any]
    objective: dict[str, Any]
    images: str
    threads: int
    precision: Literal["auto", "float32"] = "float32"

    def load(self) -> Images:
        return load_images(Path(self.images))

    def start(self, shape: tuple[int, int, int]) -> tuple[TrainState, TrainConfig]:
        """Our state and plan: for the other loops, where the nets come from."""
        plan = TrainConfig(
            ENDLESS,
            BATCH,
            lr=RATE,
            beta1=BETAS[0],
            beta2=BETAS[1],
            precision=self.precision,
            report_every=REPORT_EVERY,
            checkpoint_every=ENDLESS,
        )
        job = TrainingSpec("benchmark", self.model, self.objective, plan)
        return build_train_state(job, build_objective(job), shape, 0, 1, torch.device("cpu")), plan


def images_per_second(run: Callable[[Window], None], seconds: float) -> float:
    """Images per second of `run`, which counts its steps in the window until that is over."""
    window = Window(seconds)
    with suppress(WindowOver):
        run(window)
    return window.rate


def serve_windows(prepare: Callable[[Task], Callable[[Window], None]]) -> None:
    """Be the process of a loop: run the windows that are asked for, each on a task, prepared for it when it is new.

    What the libraries print goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    runs: dict[str, Callable[[Window], None]] = {}
    print(json.dumps({"torch": torch.__version__}), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        task = Task(**asked["task"])
        torch.set_num_threads(task.threads)
        if str(task) not in runs:
            runs[str(task)] = prepare(task)
        rate = images_per_second(runs[str(task)], asked["seconds"])
        print(json.dumps({"images_per_second": rate}), file=answers, flush=True)
