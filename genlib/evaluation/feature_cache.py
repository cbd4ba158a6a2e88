"""A feature extractor with a cache on disk, keyed by the hash of weights and images; the least recently used go."""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genlib.data.images import Images
from genlib.files import atomic_path
from genlib.metrics.inputs import FeatureSet, extract_features

MAX_CACHED_SETS = 64
ExtractFn = Callable[[nn.Module, Images, torch.device | str], FeatureSet]


@dataclass(frozen=True)
class CachedExtractor:
    """`network` extracts features by way of `extract`; `cache` is the folder of the features already extracted."""

    network: nn.Module
    cache: Path | None = None
    device: torch.device | str = "cpu"
    extract: ExtractFn = extract_features

    def __call__(self, images: Images) -> FeatureSet:
        if self.cache is None:
            return self.extract(self.network, images, self.device)
        path = self.cache / f"{self._cache_key(images)}.safetensors"
        cached = _read_cached(path)
        if cached is None:
            extracted = self.extract(self.network, images, self.device)
            _write_cached(path, {"features": extracted.features, "probabilities": extracted.probabilities})
            return extracted
        labels = None if images.labels is None else images.labels.cpu()
        return FeatureSet(images.pixels.cpu(), labels, cached["features"], cached["probabilities"])

    @cached_property
    def sha256(self) -> str:
        """The hash of the network's structure and weights."""
        digest = hashlib.sha256(repr(self.network).encode())
        for name, weights in sorted(self.network.state_dict().items()):
            digest.update(name.encode() + _tensor_bytes(weights))
        return digest.hexdigest()

    def _cache_key(self, images: Images) -> str:
        facts = f"{self.sha256} {tuple(images.pixels.shape)} {torch.device(self.device).type}"
        return hashlib.sha256(facts.encode() + _tensor_bytes(images.pixels)).hexdigest()


def _tensor_bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _read_cached(path: Path) -> Mapping[str, Tensor] | None:
    try:
        cached = load_file(path)
        path.touch()
    except (OSError, SafetensorError):
        return None
    return cached if cached.keys() == {"features", "probabilities"} else None


def _write_cached(path: Path, tensors: Mapping[str, Any]) -> None:
    with suppress(OSError, SafetensorError), atomic_path(path, shared=True) as partial:  # a full disk: without a cache
        save_file(dict(tensors), partial)
    for _, old in sorted((_last_used_time(one), one) for one in path.parent.glob("*.safetensors"))[:-MAX_CACHED_SETS]:
        old.unlink(missing_ok=True)


def _last_used_time(path: Path) -> float:
    """When it was last used; 0 where another process has removed it meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
