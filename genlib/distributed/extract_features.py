"""Parallel feature extraction: each worker takes whole chunks."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn

from genlib.data.images import Images
from genlib.data.random import shard_slice
from genlib.distributed.session import WAITING_INTERVAL_S, describe_resources, session
from genlib.errors import InputError
from genlib.evaluation.extractors import ExtractFn
from genlib.metrics.inputs import CHUNK_SIZE, FeatureSet, extract_features


@contextmanager
def feature_extractor(num_workers: int) -> Iterator[ExtractFn]:
    """How features are extracted in a `with` block: in this process (0), or by so many Ray tasks, at most one a CPU."""
    if num_workers == 0:
        yield extract_features
        return
    with session() as cpus:
        if not cpus:
            raise InputError(f"evaluate.workers: got {num_workers}, expected a cluster with CPUs: it has none")
        yield partial(extract_parallel, min(num_workers, cpus))


def extract_parallel(
    num_workers: int, extractor: nn.Module, images: Images, device: torch.device | str = "cpu"
) -> FeatureSet:
    import ray

    num_chunks = -(-len(images) // CHUNK_SIZE)
    num_tasks = min(num_workers, num_chunks)
    shards = [shard_slice(num_chunks, rank, num_tasks) for rank in range(num_tasks)]
    pixels = [images.pixels[shard.start * CHUNK_SIZE : shard.stop * CHUNK_SIZE].clone() for shard in shards]
    remote: Any = ray.remote(num_cpus=1, num_gpus=1 if torch.device(device).type == "cuda" else 0)(_extract_shard)
    shared = ray.put(extractor)
    pending = parts = [remote.remote(shared, each, device) for each in pixels]
    while pending := ray.wait(pending, num_returns=len(pending), timeout=WAITING_INTERVAL_S)[1]:
        asked = describe_resources({"CPU": len(pending)})
        print(f"features: waits for {len(pending)} of {len(parts)} parts: {asked}", file=sys.stderr)
    found: list[FeatureSet] = ray.get(parts)
    features = torch.cat([part.features for part in found])
    probabilities = torch.cat([part.probabilities for part in found])
    labels = None if images.labels is None else images.labels.cpu()
    return FeatureSet(images.pixels.cpu(), labels, features, probabilities)


def _extract_shard(extractor: nn.Module, pixels: torch.Tensor, device: torch.device | str) -> FeatureSet:
    torch.set_num_threads(1)
    return extract_features(extractor, Images(pixels), device)
