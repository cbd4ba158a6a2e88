"""One judge and many images: every worker looks at whole chunks of its own, and no image is looked at twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from genlib.data.batches import shard_slice
from genlib.data.images import Images
from genlib.distributed.session import session
from genlib.evaluation.feature_cache import ExtractFn
from genlib.metrics.inputs import CHUNK_SIZE, FeatureSet, extract_features


@contextmanager
def feature_extractor(num_workers: int) -> Iterator[ExtractFn]:
    """How a judge looks for the length of a `with` block: in this process, or with so many workers of Ray, or as many
    as it has CPUs."""
    if num_workers == 0:
        yield extract_features
        return
    with session() as cpus:
        yield partial(extract_parallel, min(num_workers, cpus))


def extract_parallel(
    num_workers: int, extractor: nn.Module, images: Images, device: torch.device | str = "cpu"
) -> FeatureSet:
    """What `judge` sees in `images`, in their order, looked at by `workers` tasks on `device`."""
    import ray

    chunks = -(-len(images) // CHUNK_SIZE)
    shares = [shard_slice(chunks, rank, min(num_workers, chunks)) for rank in range(min(num_workers, chunks))]
    parts = [images[part.start * CHUNK_SIZE : part.stop * CHUNK_SIZE] for part in shares]
    remote: Any = ray.remote(num_cpus=1, num_gpus=1 if torch.device(device).type == "cuda" else 0)(_extract_chunk)
    held = ray.put(extractor)
    seen: list[FeatureSet] = ray.get([remote.remote(held, part.pixels.clone(), device) for part in parts])
    features = torch.cat([each.features for each in seen])
    probabilities = torch.cat([each.probabilities for each in seen])
    labels = None if images.labels is None else images.labels.cpu()
    return FeatureSet(images.pixels.cpu(), labels, features, probabilities)


def _extract_chunk(extractor: nn.Module, pixels: torch.Tensor, device: torch.device | str) -> FeatureSet:
    torch.set_num_threads(1)
    return extract_features(extractor, Images(pixels), device)
