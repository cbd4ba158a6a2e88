"""Everything a training run is at one moment, and how it survives the process that made it.

A checkpoint is one safetensors file named `<images seen>-<sha256, 16 digits>.safetensors`: written under a temporary
name, flushed to the disk and renamed; read only when its content still has the hash in its name.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from genlib.objectives.parts.turns import Turn
from genlib.training import ema as averaging

KEPT = 2


@dataclass(frozen=True)
class Adam:
    """An Adam optimiser's settings (Kingma & Ba 2015); `lr` is the rate before the schedule."""

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def over(self, module: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(
            module.parameters(), lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True
        )


@dataclass
class TrainState:
    """A model, its average, its turns with one optimiser each, and how far they have come."""

    model: nn.Module
    ema: nn.Module
    turns: tuple[Turn, ...]
    optimizers: tuple[torch.optim.Optimizer, ...]
    images_seen: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def start(cls, model: nn.Module, turns: tuple[Turn, ...], adam: Mapping[str, Adam]) -> TrainState:
        """The state before the first step; `adam` names each turn's optimiser."""
        return cls(model, averaging.shadow(model), turns, tuple(adam[t.name].over(t.module) for t in turns))

    def save(self, folder: Path) -> Path:
        """Write a checkpoint into `folder` and keep the last two."""
        facts = {"images_seen": self.images_seen, "history": self.history}
        content = save(dict(self._tensors()), metadata={"genlib": json.dumps(facts)})
        name = f"{self.images_seen:012d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
        return keep(folder, name, content)

    def load(self, path: Path) -> None:
        """Become what `path` holds, bit for bit."""
        tensors, facts = read(path)
        self.model.load_state_dict(_under("model.", tensors))
        self.ema.load_state_dict(_under("ema.", tensors))
        for turn, optimizer in zip(self.turns, self.optimizers, strict=True):
            _restore(optimizer, _under(f"adam.{turn.name}.", tensors))
        self.images_seen, self.history = facts["images_seen"], facts["history"]

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        for prefix, module in (("model.", self.model), ("ema.", self.ema)):
            yield from ((prefix + name, tensor.contiguous()) for name, tensor in module.state_dict().items())
        for turn, optimizer in zip(self.turns, self.optimizers, strict=True):
            for index, slots in optimizer.state_dict()["state"].items():
                yield from ((f"adam.{turn.name}.{index}.{slot}", t.contiguous()) for slot, t in slots.items())


def keep(folder: Path, name: str, content: bytes) -> Path:
    """Write the checkpoint `name` into `folder`, whole or not at all, and keep the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.partial"
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / name)
    for old in checkpoints(folder)[KEPT:]:
        old.unlink()
    return folder / name


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, newest first."""
    return sorted(folder.glob("[0-9]*.safetensors"), reverse=True)


def intact(path: Path) -> bool:
    """Whether the content still has the hash that its name carries."""
    return hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.stem.partition("-")[2])


def newest(folder: Path) -> Path | None:
    """The newest intact checkpoint in `folder`."""
    return next(filter(intact, checkpoints(folder)), None)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A checkpoint's tensors and facts (`images_seen`, `history`).

    Raises:
        ValueError: the file is not a checkpoint.
    """
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()["genlib"])
        return load_file(path), facts
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not a checkpoint ({error})") from error


def finished(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], list[dict[str, float]]]:
    """What a finished run leaves: its averaged weights, its raw weights and its history."""
    tensors, facts = read(path)
    return _under("ema.", tensors), _under("model.", tensors), facts["history"]


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _restore(optimizer: torch.optim.Optimizer, slots: Mapping[str, Tensor]) -> None:
    """Put Adam's moments back in the memory layout of their parameters, which the fused kernel relies on."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in slots.items():
        index, _, slot = name.partition(".")
        like = parameters[int(index)]
        moment = tensor if tensor.ndim == 0 else torch.empty_like(like, requires_grad=False).copy_(tensor)
        state.setdefault(int(index), {})[slot] = moment
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
