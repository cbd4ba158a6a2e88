"""A piece of work in a process of its own: what it returns, how long it took, and the most memory that was held.

The peak is VmHWM of the new process, since the kernel hands `ru_maxrss` down from the process that starts another.
Starting, importing and making the data are not in the seconds; the peak holds all, and `before` tells what was there.
"""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 1024  # KiB, which the kernel counts in


@dataclass(frozen=True)
class Done:
    """What the work returned, its seconds, and MiB: at its beginning, and the most that was ever held."""

    value: Any
    seconds: float
    before: int
    peak: int


def alone(prepare: Callable[..., tuple[Any, ...]], work: Callable[..., Any], *facts: Any) -> Done:
    """`work(*prepare(work, *facts))` in a fresh process; `prepare` may try `work` on little, so that all is imported.

    Raises:
        RuntimeError: the process ended without an answer.
    """
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(there, prepare, work, facts))
    process.start()
    there.close()
    try:
        return here.recv()  # type: ignore[no-any-return]
    except EOFError as error:
        raise RuntimeError(f"{work.__name__} ended without an answer") from error
    finally:
        process.join()


def _run(there: Any, prepare: Callable[..., tuple[Any, ...]], work: Callable[..., Any], facts: tuple[Any, ...]) -> None:
    given = prepare(work, *facts)
    before, began = memory("VmRSS"), time.perf_counter()
    value = work(*given)
    seconds = time.perf_counter() - began
    there.send(Done(value, seconds, before, memory("VmHWM")))


def memory(what: str) -> int:
    """MiB of this process: `VmRSS` now, `VmHWM` at the most."""
    found = re.search(rf"^{what}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) // MIB
