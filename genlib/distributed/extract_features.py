"""Parallel feature extraction: each worker takes whole chunks."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from genlib.data.images import AnyImages, Images, chunk_length
from genlib.data.pixels import images_within, iter_pieces
from genlib.distributed.session import WAITING_INTERVAL_S, describe_resources, session
from genlib.errors import InputError
from genlib.evaluation.feature_cache import ExtractFn
from genlib.metrics.inputs import FeatureSet, extract_features

TASK_BYTES = 32 * 2**20  # pixels of a task, at most


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
    num_workers: int, extractor: nn.Module, images: AnyImages, device: torch.device | str = "cpu"
) -> FeatureSet:
    """As `extract_features`. Each task takes a piece of whole chunks; as many pieces as workers are sent at a time."""
    import ray

    remote: Any = ray.remote(num_cpus=1, num_gpus=1 if torch.device(device).type == "cuda" else 0)(_extract_piece)
    shared, found = ray.put(extractor), []
    pieces = iter_pieces(images.pixels, _piece_size(len(images), images.shape, num_workers))
    while batch := [remote.remote(shared, piece.clone(), device) for piece in islice(pieces, num_workers)]:
        _wait_for(batch)
        found += ray.get(batch)
    features, probabilities = map(torch.cat, zip(*found, strict=True))
    return FeatureSet.of_images(images, features, probabilities)


def _piece_size(n: int, shape: Sequence[int], num_workers: int) -> int:
    """Images of a piece: an equal share of the n for each worker, in whole chunks, up to TASK_BYTES."""
    chunk = chunk_length(shape)
    return chunk * max(1, min(-(-n // (chunk * num_workers)), images_within(TASK_BYTES, shape) // chunk))


def _wait_for(pending: list[Any]) -> None:
    import ray

    while pending := ray.wait(pending, num_returns=len(pending), timeout=WAITING_INTERVAL_S)[1]:
        asked = describe_resources({"CPU": len(pending)})
        print(f"features: waits for {len(pending)} parts: {asked}", file=sys.stderr)


def _extract_piece(extractor: nn.Module, pixels: torch.Tensor, device: torch.device | str) -> tuple[Tensor, Tensor]:
    torch.set_num_threads(1)
    found = extract_features(extractor, Images(pixels), device)
    return found.features, found.probabilities
