"""Extracted features are cached on disk by the hash of weights and images; the least recently used go."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genlib.data.images import AnyImages
from genlib.data.pixels import iter_pieces
from genlib.files import atomic_path, keep_last_used
from genlib.metrics.inputs import FeatureSet, extract_features

MAX_CACHED_SETS = 64
ExtractFn = Callable[[nn.Module, AnyImages, torch.device | str], FeatureSet]


@dataclass(frozen=True)
class CachedExtractor:
    """`network` extracts features by way of `extract`; `cache` is the folder of the features already extracted."""

    network: nn.Module
    cache: Path | None = None
    device: torch.device | str = "cpu"
    extract: ExtractFn = extract_features

    def __call__(self, images: AnyImages) -> FeatureSet:
        if self.cache is None:
            return self.extract(self.network, images, self.device)
        path = self.cache / f"{self._cache_key(images)}.safetensors"
        if cached := _read_cached(path):
            return FeatureSet.of_images(images, cached["features"], cached["probabilities"])
        extracted = self.extract(self.network, images, self.device)
        _write_cached(path, {"features": extracted.features, "probabilities": extracted.probabilities})
        return extracted

    @cached_property
    def sha256(self) -> str:
        """The hash of the network's structure and weights."""
        digest = hashlib.sha256(repr(self.network).encode())
        for name, weights in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(_tensor_bytes(weights))
        return digest.hexdigest()

    def _cache_key(self, images: AnyImages) -> str:
        facts = f"{self.sha256} {tuple(images.pixels.shape)} {torch.device(self.device).type}"
        digest = hashlib.sha256(facts.encode())
        for piece in iter_pieces(images.pixels):
            digest.update(_tensor_bytes(piece))
        return digest.hexdigest()


def _tensor_bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


def _read_cached(path: Path) -> dict[str, Tensor]:
    """Features and probabilities; nothing where the file cannot be read."""
    with suppress(OSError, SafetensorError):
        cached: dict[str, Tensor] = load_file(path)
        path.touch()
        return cached if cached.keys() == {"features", "probabilities"} else {}
    return {}


def _write_cached(path: Path, tensors: dict[str, Tensor]) -> None:
    with suppress(OSError, SafetensorError), atomic_path(path, shared=True) as partial:  # a full disk: without a cache
        save_file(tensors, partial)
    keep_last_used(path.parent.glob("*.safetensors"), MAX_CACHED_SETS)
