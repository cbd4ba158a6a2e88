"""The channel between the workers of a job and its driver: an actor on the driver's node, and so on its disk.

Messages and checkpoints go to the driver, and the checkpoint to go on from comes back: no disk is seen by two nodes.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genlib.distributed.session import actor_on_node, this_node
from genlib.training.checkpoints import latest_checkpoint, write_checkpoint

POLL_INTERVAL_S = 0.2


class DriverChannel:
    """Holds messages until the driver drains them; checkpoints lie in `checkpoint_dir`, where there is one."""

    def __init__(self, checkpoint_dir: Path | None) -> None:
        self.checkpoint_dir, self.stop_requested = checkpoint_dir, False
        self.messages: list[Any] = []

    def send(self, message: Any) -> None:
        self.messages.append(message)

    def drain(self) -> list[Any]:
        messages, self.messages = self.messages, []
        return messages

    def request_stop(self) -> None:
        self.stop_requested = True

    def should_stop(self) -> bool:
        return self.stop_requested

    def write_checkpoint(self, name: str, content: bytes) -> None:
        if self.checkpoint_dir:
            write_checkpoint(self.checkpoint_dir, name, content)

    def read_latest_checkpoint(self) -> tuple[str, bytes] | None:
        found = latest_checkpoint(self.checkpoint_dir)
        return (found.path.name, found.content) if found else None


@contextmanager
def open_driver_channel(
    checkpoint_dir: Path | None, on_message: Callable[[Any], None], should_stop: Callable[[], bool]
) -> Iterator[Any]:
    """A channel on this node; a thread of this process drains it into `on_message` and passes `should_stop` on.

    Where `on_message` raises, the workers are stopped and the exception is raised at the end of the `with` block.
    """
    import ray

    actor = actor_on_node(this_node(), DriverChannel, checkpoint_dir)
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
            except Exception as error:  # the driver raises it once the workers have stopped
                failures.append(error)
                actor.request_stop.remote()
                return

    thread = threading.Thread(target=listen, daemon=True, name="driver-channel")
    thread.start()
    try:
        yield actor
    finally:
        ended.set()
        thread.join()
        ray.kill(actor)
    if failures:
        raise failures[0]
