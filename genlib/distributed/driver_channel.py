"""Between the workers of a job and its driver: an actor beside the driver, on the driver's disk.

Workers may be on any node: what they say, and the checkpoints they make, go over this desk, and so do the checkpoints
that a new group of workers goes on from. No disk needs to be seen by two nodes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genlib.training.state import keep, newest

EVERY = 0.2  # seconds between two looks at what was said


class Desk:
    """Holds what was said until the driver takes it; checkpoints lie in `folder`, where there is one."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.said: list[Any] = []
        self.wished = False

    def tell(self, message: Any) -> None:
        self.said.append(message)

    def take(self) -> list[Any]:
        """What was said since the last call."""
        said, self.said = self.said, []
        return said

    def halt(self) -> None:
        """Let the workers write a checkpoint at their next report, and end."""
        self.wished = True

    def halted(self) -> bool:
        return self.wished

    def keep(self, name: str, content: bytes) -> None:
        """Write a checkpoint."""
        if self.folder:
            keep(self.folder, name, content)

    def newest(self) -> tuple[str, bytes] | None:
        """Name and content of the newest intact checkpoint."""
        found = newest(self.folder) if self.folder else None
        return (found.name, found.read_bytes()) if found else None


@contextmanager
def desk(folder: Path | None, hear: Callable[[Any], None], halted: Callable[[], bool]) -> Iterator[Any]:
    """A desk on this node, of which a thread of this process takes what is said and lets `hear` have it, and which it
    tells once `halted`.

    Raises:
        Exception: whatever `hear` raised first, at the end.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    remote: Any = ray.remote(num_cpus=0)
    actor = remote(Desk).options(scheduling_strategy=here).remote(folder)
    ended, failures = threading.Event(), list[Exception]()

    def listen() -> None:
        last = False
        while not last:
            last = ended.wait(EVERY)
            try:
                if halted():
                    actor.halt.remote()
                for message in ray.get(actor.take.remote()):
                    hear(message)
            except Exception as error:
                failures.append(error)
                return

    thread = threading.Thread(target=listen, daemon=True, name="ear")
    thread.start()
    try:
        yield actor
    finally:
        ended.set()
        thread.join()
        ray.kill(actor)
    if failures:
        raise failures[0]
