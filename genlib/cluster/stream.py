"""Sets too large to be sent: Ray Data reads their pieces where the file lies, and the object store holds but a few."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from genlib.data.images import Images, load_images
from genlib.data.pieces import Piece

AT_ONCE = 256  # pieces of one pass of Ray Data
READERS = 2  # processes that read for one worker
AHEAD = 128 * 2**20  # bytes of the object store that one worker's pieces may take


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
        import ray.data
        import torch
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        _settle()
        place = NodeAffinitySchedulingStrategy(self.node, soft=False)
        while asked := [asdict(piece) for piece in islice(pieces, AT_ONCE)]:
            listed = ray.data.from_items(asked, override_num_blocks=len(asked))
            read = listed.map(partial(_read, self.path), num_cpus=0, concurrency=READERS, scheduling_strategy=place)
            for row in read.iter_rows():
                labels = torch.tensor(row["labels"]) if "labels" in row else None
                yield Images(torch.tensor(row["pixels"]), labels)


def _settle() -> None:
    """Pieces come in the order in which they were asked for, no more of them than may lie about, and without a word."""
    from ray.data import DataContext, ExecutionResources

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=AHEAD)


_mapped: dict[Path, Images] = {}


def _read(path: Path, asked: dict[str, int]) -> dict[str, Any]:
    """One piece, as Ray Data takes it."""
    if path not in _mapped:
        _mapped[path] = load_images(path)
    images = _mapped[path][Piece(**asked).order()]
    labels = {} if images.labels is None else {"labels": images.labels.numpy()}
    return {"pixels": images.pixels.numpy(), **labels}
