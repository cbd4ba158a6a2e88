"""The progress of a long stage: a bar in a terminal, plain lines elsewhere."""

import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from genlib.progress import LINE_INTERVAL_S, format_rate, open_bar
from genlib.signals import repeated_keyboard_interrupt
from genlib.training.gan_state import gan_state
from genlib.training.loop import Progress

STOP_TIMEOUT_S = 8.0  # for the next report to come after Ctrl-C
NUM_METRICS_SHOWN = 4


class Console:
    """Shows images seen, rate, time left and the first metrics."""

    def __init__(self, title: str) -> None:
        self.title, self.bar = title, open_bar(title, unit=" images", unit_scale=True)
        self.start_images, self.start_time, self.last_print_time = 0, time.monotonic(), -math.inf
        self.stop_requested = False

    def should_stop(self) -> bool:
        return self.stop_requested

    def request_stop(self) -> None:
        self.stop_requested = True
        line = f"\n{self.title}: saving at the next report; Ctrl-C again ends at once\n"
        os.write(sys.stderr.fileno(), line.encode())  # a signal may interrupt a print

    def log(self, line: str) -> None:
        self.bar.write(line, file=sys.stderr)

    def show_progress(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.resumed:
            self.start_images, self.start_time = progress.images_seen, now
            if progress.is_done:
                self.log(f"{self.title}: resumed at {self.start_images:,} images, its end; nothing is left to train")
            return
        self.bar.total, self.bar.n = progress.total_images, min(progress.images_seen, progress.total_images)
        self.bar.set_postfix_str(format_metrics(progress.metrics))
        due = progress.is_done or now - self.last_print_time >= LINE_INTERVAL_S
        if self.bar.disable and due and progress.images_seen > self.start_images:
            self.last_print_time = now
            done, left = progress.images_seen - self.start_images, progress.total_images - progress.images_seen
            where = f"{progress.images_seen:,} of {progress.total_images:,} images"
            where += f", resumed at {self.start_images:,}" if self.start_images else ""
            rate = format_rate(done, left, now - self.start_time, "images/s")
            print(f"{self.title}: {where}, {rate}; {format_metrics(progress.metrics)}", file=sys.stderr, flush=True)


@contextmanager
def open_console(title: str) -> Iterator[Console]:
    """A console that requests a stop at the first Ctrl-C; the second ends the block, and so does `STOP_TIMEOUT_S`."""
    console = Console(title)
    try:
        with repeated_keyboard_interrupt(1.0, console.request_stop, STOP_TIMEOUT_S):
            yield console
    finally:
        console.bar.close()


def format_metrics(metrics: Mapping[str, float]) -> str:
    """The first few metrics in short, and the state of a GAN."""
    state = gan_state(metrics)
    first = [f"{name} {value:.3g}" for name, value in list(metrics.items())[:NUM_METRICS_SHOWN]]
    return ", ".join([*first, *([state] if state else [])])
