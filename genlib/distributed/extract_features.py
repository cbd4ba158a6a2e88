"""One judge and many images: every worker looks at whole chunks of its own, and no image is looked at twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from genlib.data.batches import share
from genlib.data.images import Images
from genlib.distributed.session import session
from genlib.evaluation.feature_cache import Look
from genlib.metrics.inputs import CHUNK, View, look


@contextmanager
def looking(workers: int) -> Iterator[Look]:
    """How a judge looks for the length of a `with` block: in this process, or with so many workers of Ray, or as many
    as it has CPUs."""
    if workers == 0:
        yield look
        return
    with session() as cpus:
        yield partial(spread, min(workers, cpus))


def spread(workers: int, judge: nn.Module, images: Images, device: torch.device | str = "cpu") -> View:
    """What `judge` sees in `images`, in their order, looked at by `workers` tasks on `device`."""
    import ray

    chunks = -(-len(images) // CHUNK)
    shares = [share(chunks, rank, min(workers, chunks)) for rank in range(min(workers, chunks))]
    parts = [images[part.start * CHUNK : part.stop * CHUNK] for part in shares]
    remote: Any = ray.remote(num_cpus=1, num_gpus=1 if torch.device(device).type == "cuda" else 0)(_seen)
    held = ray.put(judge)
    seen: list[View] = ray.get([remote.remote(held, part.pixels.clone(), device) for part in parts])
    features = torch.cat([each.features for each in seen])
    probabilities = torch.cat([each.probabilities for each in seen])
    labels = None if images.labels is None else images.labels.cpu()
    return View(images.pixels.cpu(), labels, features, probabilities)


def _seen(judge: nn.Module, pixels: torch.Tensor, device: torch.device | str) -> View:
    torch.set_num_threads(1)
    return look(judge, Images(pixels), device)
