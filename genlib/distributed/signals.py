"""Ctrl-C while Ray runs the program."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def repeated_keyboard_interrupt(interval_s: float = 2.0) -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt every so many seconds until the `with` block is left: Python drops one that meets
    the program in a finaliser, and Ray one that meets it in a call back from its compiled part.

    Outside the main thread, which alone hears of signals, this changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, interval_s)
        raise KeyboardInterrupt

    numbers = (signal.SIGINT, signal.SIGALRM)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
