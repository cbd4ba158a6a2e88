"""`map` by processes of this machine.

They import what the function needs and not the caller's data, know no threads of the caller's, and end with it.
"""

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import TypeVar

from genlib.data.config import MapFunction

PATIENCE_S = 0.2  # before others are started, which takes about as long
T = TypeVar("T")
R = TypeVar("R")


def map_patiently(map_rest: MapFunction, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results in order: at first by this process and, where there is work for longer than it takes to start others,
    the rest by `map_rest`."""
    rest, start = iter(items), time.monotonic()
    for item in rest:
        yield function(item)
        if time.monotonic() - start >= PATIENCE_S:
            yield from map_rest(function, rest)


def map_in_processes(num_processes: int, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results in order. `function` and `items` must be picklable."""
    rest = iter(items)
    pool = ProcessPoolExecutor(num_processes, get_context("spawn"), initializer=_follow_parent)
    try:
        pending = deque(pool.submit(function, item) for item in islice(rest, 2 * num_processes))
        while pending:
            yield pending.popleft().result()
            pending.extend(pool.submit(function, item) for item in islice(rest, 1))
    finally:
        pool.shutdown(cancel_futures=True)


def available_cpus() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it is gone, however it ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_after_parent, daemon=True).start()


def _exit_after_parent() -> None:
    if parent := parent_process():
        wait([parent.sentinel])
        os._exit(1)
