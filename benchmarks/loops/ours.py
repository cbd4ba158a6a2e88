"""genlib: `train()` on images in memory, with a report every few steps."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.loops import REPORT_EVERY, Task, Window, serve_windows
from genlib.training.loop import train


def prepare(task: Task) -> Callable[[Window], None]:
    images = task.load()

    def run(window: Window) -> None:
        state, plan = task.start(images.shape)
        for _ in train(state, images, plan):
            window.step(REPORT_EVERY)

    return run


if __name__ == "__main__":
    serve_windows(prepare)
