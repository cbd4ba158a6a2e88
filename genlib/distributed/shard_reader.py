"""Sets too large to be sent: an actor reads their pieces where the file lies, a few before the worker wants them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from genlib.data.images import Images, load_images
from genlib.data.streaming import LANES, Piece

AHEAD = 2 * LANES  # pieces that are read before they are wanted


@dataclass(frozen=True)
class Remote:
    """Reads pieces of the file `path` on the node that sees it."""

    path: Path
    node: str

    @classmethod
    def here(cls, path: Path) -> Remote:
        """Of a file on this node."""
        import ray

        return cls(path.resolve(), ray.get_runtime_context().get_node_id())

    def __call__(self, pieces: Iterator[Piece]) -> Iterator[Images]:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        place = NodeAffinitySchedulingStrategy(self.node, soft=False)
        remote: Any = ray.remote(num_cpus=0)(Reader)
        reader = remote.options(scheduling_strategy=place).remote(self.path)
        wanted = deque(reader.read.remote(piece) for piece in islice(pieces, AHEAD))
        while wanted:
            images = ray.get(wanted.popleft())
            wanted.extend(reader.read.remote(piece) for piece in islice(pieces, 1))
            yield images


class Reader:
    """Holds the file open."""

    def __init__(self, path: Path) -> None:
        self.images = load_images(path)

    def read(self, piece: Piece) -> Images:
        return self.images[piece.order()]
