"""What a person sees of a long stage: a bar in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from collections.abc import Mapping
from types import FrameType, TracebackType

from genlib.training.gan_state import state
from genlib.training.loop import Progress

EVERY = 10.0
PATIENCE = 8.0  # seconds for the next report to come after Ctrl-C
SHOWN = 4


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
        self.first = 0
        self.started = time.monotonic()
        self.spoke = -math.inf
        self.wished = False

    def __enter__(self) -> Console:
        self.before = [signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGALRM)]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip((signal.SIGINT, signal.SIGALRM), self.before, strict=True):
            signal.signal(number, handler)
        self.bar.close()

    def halted(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self.wished

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self.wished:
            raise KeyboardInterrupt
        self.wished = True
        signal.setitimer(signal.ITIMER_REAL, PATIENCE, 1.0)
        os.write(
            sys.stderr.fileno(), f"\n{self.title}: saving at the next report; Ctrl-C again ends at once\n".encode()
        )

    def say(self, line: str) -> None:
        self.bar.write(line, file=sys.stderr)

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.resumed:
            self.first, self.started = progress.images_seen, now
            if progress.done:
                self.say(f"{self.title}: resumed at {self.first:,} images, its end; nothing is left to train")
            return
        self.bar.total, self.bar.n = progress.images, min(progress.images_seen, progress.images)
        self.bar.set_postfix_str(summary(progress.metrics))
        some = progress.images_seen > self.first
        if self.bar.disable and some and (progress.done or now - self.spoke >= EVERY):
            self.spoke = now
            print(self._line(progress, now), file=sys.stderr, flush=True)

    def _line(self, progress: Progress, now: float) -> str:
        rate = (progress.images_seen - self.first) / max(now - self.started, 1e-9)
        left = max(0, progress.images - progress.images_seen) / rate
        where = f"{progress.images_seen:,} of {progress.images:,} images"
        since = f", resumed at {self.first:,}" if self.first else ""
        return f"{self.title}: {where}{since}, {rate:,.0f} images/s, {left:.0f} s left; {summary(progress.metrics)}"


def summary(metrics: Mapping[str, float]) -> str:
    """The first few metrics in short, and how a game of two players stands."""
    stands = [stand] if (stand := state(metrics)) else []
    return ", ".join([*(f"{name} {value:.3g}" for name, value in list(metrics.items())[:SHOWN]), *stands])
