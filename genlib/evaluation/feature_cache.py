"""Who looks, and what was seen before: a judge with a memory on disk.

What a judge sees in a set of images is a function of the two, so it is kept under the hash of both and never looked at
twice; of the kept ones the KEPT last used stay.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genlib.data.images import Images
from genlib.metrics.inputs import View, look

KEPT = 64
Look = Callable[[nn.Module, Images, torch.device | str], View]


@dataclass(frozen=True)
class Looker:
    """`judge` sees images, by way of `look`; in the folder `cache`, where there is one, lies what it saw before."""

    judge: nn.Module
    cache: Path | None = None
    device: torch.device | str = "cpu"
    look: Look = look

    def __call__(self, images: Images) -> View:
        if self.cache is None:
            return self.look(self.judge, images, self.device)
        path = self.cache / f"{self._key(images)}.safetensors"
        seen = _kept(path)
        if seen is None:
            view = self.look(self.judge, images, self.device)
            _keep(path, {"features": view.features, "probabilities": view.probabilities})
            return view
        labels = None if images.labels is None else images.labels.cpu()
        return View(images.pixels.cpu(), labels, seen["features"], seen["probabilities"])

    @cached_property
    def sha256(self) -> str:
        """The hash of the judge's weights and of what they are part of."""
        digest = hashlib.sha256(repr(self.judge).encode())
        for name, weights in sorted(self.judge.state_dict().items()):
            digest.update(name.encode() + _bytes(weights))
        return digest.hexdigest()

    def _key(self, images: Images) -> str:
        facts = f"{self.sha256} {tuple(images.pixels.shape)} {torch.device(self.device).type}"
        return hashlib.sha256(facts.encode() + _bytes(images.pixels)).hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def _kept(path: Path) -> Mapping[str, Tensor] | None:
    try:
        seen = load_file(path)
        path.touch()
    except (OSError, SafetensorError):
        return None
    return seen if seen.keys() == {"features", "probabilities"} else None


def _keep(path: Path, seen: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    save_file(dict(seen), partial)
    partial.replace(path)
    for _, old in sorted((_used(one), one) for one in path.parent.glob("*.safetensors"))[:-KEPT]:
        old.unlink(missing_ok=True)


def _used(path: Path) -> float:
    """When it was last used; 0 where another process has removed it meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
