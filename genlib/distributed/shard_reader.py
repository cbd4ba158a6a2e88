"""Image sets too large to send: an actor on the node of the file reads and prefetches their blocks."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Self

from genlib.data.images import Images, load_images
from genlib.data.streaming import MAX_STRIPES, Block
from genlib.distributed.session import actor_on_node, this_node

NUM_PREFETCHED = 2 * MAX_STRIPES  # blocks


@dataclass(frozen=True)
class RemoteReader:
    path: Path
    node_id: str

    @classmethod
    def on_this_node(cls, path: Path) -> Self:
        return cls(path.resolve(), this_node())

    def __call__(self, blocks: Iterator[Block]) -> Iterator[Images]:
        import ray

        reader = actor_on_node(self.node_id, ReaderActor, self.path)
        pending = deque(reader.read.remote(block) for block in islice(blocks, NUM_PREFETCHED))
        while pending:
            images = ray.get(pending.popleft())
            pending.extend(reader.read.remote(block) for block in islice(blocks, 1))
            yield images


class ReaderActor:
    def __init__(self, path: Path) -> None:
        self.images = load_images(path)

    def read(self, block: Block) -> Images:
        return self.images[block.shuffled_rows()]
