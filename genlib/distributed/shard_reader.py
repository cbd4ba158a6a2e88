"""Sets too large to be sent: an actor reads their pieces where the file lies, a few before the worker wants them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from genlib.data.images import Images, load_images
from genlib.data.streaming import MAX_STRIPES, Block

NUM_PREFETCHED = 2 * MAX_STRIPES  # pieces that are read before they are wanted


@dataclass(frozen=True)
class RemoteReader:
    """Reads pieces of the file `path` on the node that sees it."""

    path: Path
    node_id: str

    @classmethod
    def on_this_node(cls, path: Path) -> RemoteReader:
        """Of a file on this node."""
        import ray

        return cls(path.resolve(), ray.get_runtime_context().get_node_id())

    def __call__(self, blocks: Iterator[Block]) -> Iterator[Images]:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        place = NodeAffinitySchedulingStrategy(self.node_id, soft=False)
        remote: Any = ray.remote(num_cpus=0)(ReaderActor)
        reader = remote.options(scheduling_strategy=place).remote(self.path)
        wanted = deque(reader.read.remote(piece) for piece in islice(blocks, NUM_PREFETCHED))
        while wanted:
            images = ray.get(wanted.popleft())
            wanted.extend(reader.read.remote(piece) for piece in islice(blocks, 1))
            yield images


class ReaderActor:
    """Holds the file open."""

    def __init__(self, path: Path) -> None:
        self.images = load_images(path)

    def read(self, block: Block) -> Images:
        return self.images[block.shuffled_rows()]
