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

from genlib.training.state import latest_checkpoint, write_checkpoint

POLL_INTERVAL_S = 0.2  # seconds between two looks at what was said


class DriverChannel:
    """Holds what was said until the driver takes it; checkpoints lie in `folder`, where there is one."""

    def __init__(self, checkpoint_dir: Path | None) -> None:
        self.checkpoint_dir = checkpoint_dir
        self.messages: list[Any] = []
        self.stop_requested = False

    def send(self, message: Any) -> None:
        self.messages.append(message)

    def drain(self) -> list[Any]:
        """What was said since the last call."""
        said, self.messages = self.messages, []
        return said

    def request_stop(self) -> None:
        """Let the workers write a checkpoint at their next report, and end."""
        self.stop_requested = True

    def should_stop(self) -> bool:
        return self.stop_requested

    def write_checkpoint(self, name: str, content: bytes) -> None:
        """Write a checkpoint."""
        if self.checkpoint_dir:
            write_checkpoint(self.checkpoint_dir, name, content)

    def read_latest_checkpoint(self) -> tuple[str, bytes] | None:
        """Name and content of the newest intact checkpoint."""
        found = latest_checkpoint(self.checkpoint_dir) if self.checkpoint_dir else None
        return (found.name, found.read_bytes()) if found else None


@contextmanager
def open_driver_channel(
    checkpoint_dir: Path | None, on_message: Callable[[Any], None], should_stop: Callable[[], bool]
) -> Iterator[Any]:
    """A desk on this node, of which a thread of this process takes what is said and lets `hear` have it, and which it
    tells once `halted`.

    Raises:
        Exception: whatever `hear` raised first, at the end.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    remote: Any = ray.remote(num_cpus=0)
    actor = remote(DriverChannel).options(scheduling_strategy=here).remote(checkpoint_dir)
    ended, failures = threading.Event(), list[Exception]()

    def listen() -> None:
        last = False
        while not last:
            last = ended.wait(POLL_INTERVAL_S)
            try:
                if should_stop():
                    actor.request_stop.remote()
                for message in ray.get(actor.drain.remote()):
                    on_message(message)
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
