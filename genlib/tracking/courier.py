"""Who sends journals, and when: a stage its own, or one process those of all stages that run meanwhile.

MLflow takes four seconds of a processor to be imported and to open its database, as long as many a stage works. The one
process holds a file lock, which the system frees however it ends; from then on stages send for themselves again.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from genlib.tracking.journal import finished
from genlib.tracking.mlflow import ServerUnreachable, send, tracking_uri, waiting

EVERY = 10.0  # seconds


class Courier:
    """Sends in the background every `EVERY` seconds once there is something to be sent, and wholly at the end.

    Of one journal: that, and those that earlier stages left, unless `attended`. Of none: all that there are.
    """

    def __init__(self, home: Path, journal: Path | None = None) -> None:
        self.home = home
        self.journal = journal
        self.journals = journal.parent if journal else home / ".genlib" / "journal"
        self.uri = tracking_uri(home)
        self.closing = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send in the background (importing MLflow takes seconds, so not before the first report)."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._deliver, daemon=True, name="courier")
            self.thread.start()

    def close(self) -> str | None:
        """Send what is left; a warning is returned where the server is silent."""
        self.closing.set()
        if self.thread:
            self.thread.join()
        try:
            self._send()
        except ServerUnreachable as error:
            return f"{error}; results are kept in {self.journals} and sent by the next stage that reaches it"
        return None

    def _deliver(self) -> None:
        """A server that is silent may be back the next time."""
        while True:
            with suppress(ServerUnreachable):
                self._send()
            if self.closing.wait(EVERY):
                return

    def _send(self) -> None:
        """Those that began earlier first: later runs may speak of theirs."""
        if self.journal and attended(self.home):
            return
        for journal in waiting(self.journals):
            if self.journal in (None, journal) or finished(journal):
                send(journal, self.uri, self.home)


@contextmanager
def attending(home: Path) -> Iterator[bool]:
    """Be the process that sends for all stages of the project at `home`; False where another one is."""
    with _lock(home).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def attended(home: Path) -> bool:
    """Whether a process sends for all stages of the project at `home`."""
    with _lock(home).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _lock(home: Path) -> Path:
    path = home / ".genlib" / "courier.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
