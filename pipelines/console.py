"""What a person sees of a long stage: a bar in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Mapping
from types import FrameType, TracebackType

from genlib.training.gan_state import gan_state
from genlib.training.loop import Progress

PRINT_INTERVAL_S = 10.0
STOP_TIMEOUT_S = 8.0  # seconds for the next report to come after Ctrl-C
NUM_METRICS_SHOWN = 4


class Console:
    """Shows images seen, rate, time left and a few numbers.

    Ctrl-C is a wish at first: who trains sees `halted` and ends at the next report. The second one raises wherever it
    finds the program, and so does waiting for longer than PATIENCE; again and again, since Python drops what is raised
    in a finaliser.
    """

    def __init__(self, title: str) -> None:
        from tqdm import tqdm

        self.title = title
        self.bar = tqdm(desc=title, unit=" images", unit_scale=True, disable=not sys.stderr.isatty())
        self.start_images = 0
        self.start_time = time.monotonic()
        self.last_print_time = -math.inf
        self.stop_requested = False

    def __enter__(self) -> Console:
        self.previous_handlers = [
            signal.signal(number, self._on_interrupt) for number in (signal.SIGINT, signal.SIGALRM)
        ]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip((signal.SIGINT, signal.SIGALRM), self.previous_handlers, strict=True):
            signal.signal(number, handler)
        self.bar.close()

    def should_stop(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.stop_requested

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.stop_requested:
            raise KeyboardInterrupt
        self.stop_requested = True
        signal.setitimer(signal.ITIMER_REAL, STOP_TIMEOUT_S, 1.0)
        os.write(
            sys.stderr.fileno(), f"\n{self.title}: saving at the next report; Ctrl-C again ends at once\n".encode()
        )

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
        some = progress.images_seen > self.start_images
        if self.bar.disable and some and (progress.is_done or now - self.last_print_time >= PRINT_INTERVAL_S):
            self.last_print_time = now
            print(self._format_progress(progress, now), file=sys.stderr, flush=True)

    def _format_progress(self, progress: Progress, now: float) -> str:
        rate = (progress.images_seen - self.start_images) / max(now - self.start_time, 1e-9)
        left = max(0, progress.total_images - progress.images_seen) / rate
        where = f"{progress.images_seen:,} of {progress.total_images:,} images"
        since = f", resumed at {self.start_images:,}" if self.start_images else ""
        return (
            f"{self.title}: {where}{since}, {rate:,.0f} images/s, {left:.0f} s left; {format_metrics(progress.metrics)}"
        )


def format_metrics(metrics: Mapping[str, float]) -> str:
    """The first few metrics in short, and how a game of two players stands."""
    stands = [stand] if (stand := gan_state(metrics)) else []
    return ", ".join([*(f"{name} {value:.3g}" for name, value in list(metrics.items())[:NUM_METRICS_SHOWN]), *stands])
