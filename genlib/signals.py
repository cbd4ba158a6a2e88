"""Reliable Ctrl-C: Python drops a KeyboardInterrupt in a finaliser, and Ray one in a callback."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGALRM)


@contextmanager
def repeated_keyboard_interrupt(
    interval_s: float = 2.0, on_first: Callable[[], None] | None = None, timeout_s: float = 0.0
) -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, and again every `interval_s` until the `with` block is left. With `on_first` the
    first one calls that instead, and raising begins at the second or after `timeout_s`. Outside the main thread, which
    alone receives signals, this changes nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal on_first
        if on_first:
            first, on_first = on_first, None
            signal.setitimer(signal.ITIMER_REAL, timeout_s, interval_s)
            first()
        else:
            signal.setitimer(signal.ITIMER_REAL, interval_s)
            raise KeyboardInterrupt

    handlers = [signal.signal(number, interrupt) for number in SIGNALS]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(SIGNALS, handlers, strict=True):
            signal.signal(number, handler)
