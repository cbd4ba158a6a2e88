"""A piece of work in a process of its own: what it returns, how long it took, and the most memory that was held.

The process imports, prepares and tries the work once, which takes longer than most work, and then does it whenever it
is asked. The peak is VmHWM, taken back before each time to what is held then (`before`): the data and the packages,
less what torch keeps on file and the process has not touched, since it is forked from one that has imported torch.
"""

from __future__ import annotations

import multiprocessing
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MIB = 1024  # KiB, which the kernel counts in
STATUS, CLEAR_REFS, RESET_PEAK = (
    Path("/proc/self/status"),
    Path("/proc/self/clear_refs"),
    "5",
)  # proc(5): 5 resets VmHWM


@dataclass(frozen=True)
class WorkResult:
    """What the work returned, its seconds, and MiB: at its beginning, and the most that was held until its end."""

    value: Any
    seconds: float
    before: int
    peak: int


class IsolatedWork:
    """A fresh process for `work(*prepare(work, *facts))`; `prepare` may try `work` on little, so that all is imported.

    It starts at once, several beside each other, and a `with` is entered when it is prepared; where all are, nothing
    runs beside what is measured first. Calling it does the work once more. RuntimeError: the process ended without an
    answer.
    """

    def __init__(self, prepare: Callable[..., tuple[Any, ...]], work: Callable[..., Any], *facts: Any) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch"])  # once for all
        self.name = work.__name__
        self.line, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there, prepare, work, facts))
        self.process.start()
        there.close()

    def __call__(self) -> WorkResult:
        self.line.send("go")
        return self._answer()  # type: ignore[no-any-return]

    def __enter__(self) -> IsolatedWork:
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self.line.close()
        self.process.join()

    def _answer(self) -> Any:
        try:
            return self.line.recv()
        except EOFError as error:
            raise RuntimeError(f"{self.name} ended without an answer") from error


def _serve(
    line: Any, prepare: Callable[..., tuple[Any, ...]], work: Callable[..., Any], facts: tuple[Any, ...]
) -> None:
    given = prepare(work, *facts)
    line.send("ready")
    with suppress(EOFError):  # the other end is closed
        while line.recv():
            CLEAR_REFS.write_text(RESET_PEAK)
            before, began = memory_mib("VmRSS"), time.perf_counter()
            value = work(*given)
            seconds = time.perf_counter() - began
            line.send(WorkResult(value, seconds, before, memory_mib("VmHWM")))


def memory_mib(what: str) -> int:
    """MiB of this process: `VmRSS` now, `VmHWM` at the most."""
    found = re.search(rf"^{what}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) // MIB
