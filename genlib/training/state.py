"""Everything a training run is at one moment, and how it survives the process that made it.

A checkpoint is one safetensors file named `<images seen>-<sha256, 16 digits>.safetensors`: written under a temporary
name, flushed to the disk and renamed; read only when its content still has the hash in its name, and is of its job.
"""

from __future__ import annotations

import hashlib
import inspect
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

from genlib.errors import InputError, one_line
from genlib.files import require_version
from genlib.objectives.common.phases import Phase
from genlib.training import ema as averaging

MAX_CHECKPOINTS = 2
CHECKPOINT_GLOB = f"{12 * '[0-9]'}-{16 * '[0-9a-f]'}.safetensors"
CHECKPOINT_VERSION = 1


@dataclass(frozen=True)
class AdamConfig:
    """An Adam optimiser's settings (Kingma & Ba 2015); `lr` is the rate before the schedule."""

    lr: float
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def build_optimizer(self, module: nn.Module) -> EagerAdam:
        return EagerAdam(module.parameters(), lr=self.lr, betas=(self.beta1, self.beta2), eps=self.eps, fused=True)


class EagerAdam(torch.optim.Adam):
    """torch's Adam, bit for bit, whose methods do not ask torch's compiler to leave them alone: nothing is compiled
    here, and importing it takes 2 s of every start."""

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


@dataclass
class TrainState:
    """A model, its average, its turns with one optimiser each, and how far they have come.

    `job` is what its checkpoints are marked with.
    """

    model: nn.Module
    ema: nn.Module
    phases: tuple[Phase, ...]
    optimizers: tuple[torch.optim.Optimizer, ...]
    images_seen: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    job_digest: str = ""

    @classmethod
    def create(cls, model: nn.Module, phases: tuple[Phase, ...], adam_configs: Mapping[str, AdamConfig]) -> TrainState:
        """The state before the first step; `adam` names each turn's optimiser."""
        return cls(
            model,
            averaging.frozen_copy(model),
            phases,
            tuple(adam_configs[t.name].build_optimizer(t.module) for t in phases),
        )

    def save(self, folder: Path) -> Path:
        """Write a checkpoint into `folder`, and keep one before it."""
        facts = {
            "version": CHECKPOINT_VERSION,
            "job": self.job_digest,
            "images_seen": self.images_seen,
            "history": self.history,
        }
        content = save(dict(self._named_tensors()), metadata={"genlib": json.dumps(facts)})
        mark = hashlib.sha256(content).hexdigest()[:16]
        return write_checkpoint(folder, f"{self.images_seen:012d}-{mark}.safetensors", content)

    def load(self, path: Path) -> None:
        """Become what `path` holds, bit for bit.

        Raises:
            InputError: it holds the state of another model.
        """
        tensors, facts = read_checkpoint(path)
        try:
            self.model.load_state_dict(_select_prefix("model.", tensors))
            self.ema.load_state_dict(_select_prefix("ema.", tensors))
            for turn, optimizer in zip(self.phases, self.optimizers, strict=True):
                _load_adam_state(optimizer, _select_prefix(f"adam.{turn.name}.", tensors))
        except (RuntimeError, ValueError, IndexError, KeyError) as error:
            reason = one_line(error)
            raise InputError(f"{path}: got the state of another model ({reason}), expected of this one") from error
        self.images_seen, self.history = facts["images_seen"], facts["history"]

    def _named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        for prefix, module in (("model.", self.model), ("ema.", self.ema)):
            yield from ((prefix + name, tensor.contiguous()) for name, tensor in module.state_dict().items())
        for turn, optimizer in zip(self.phases, self.optimizers, strict=True):
            for index, slots in optimizer.state_dict()["state"].items():
                yield from ((f"adam.{turn.name}.{index}.{slot}", t.contiguous()) for slot, t in slots.items())


def write_checkpoint(folder: Path, name: str, content: bytes) -> Path:
    """Write the checkpoint `name` into `folder`, whole or not at all, and keep one before it."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.partial"
    with partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / name)
    for old in [path for path in list_checkpoints(folder) if path.name <= name][MAX_CHECKPOINTS:]:
        old.unlink()
    return folder / name


def list_checkpoints(folder: Path) -> list[Path]:
    """The files in `folder` that are named like a checkpoint, newest first."""
    return sorted((path for path in folder.glob(CHECKPOINT_GLOB) if path.is_file()), reverse=True)


def checksum_ok(path: Path) -> bool:
    """Whether the content still has the hash that its name carries."""
    return hashlib.sha256(path.read_bytes()).hexdigest().startswith(path.stem.partition("-")[2])


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint in `folder` that is intact.

    Raises:
        InputError: a later genlib wrote it.
    """
    return next((path for path in list_checkpoints(folder) if _why_unusable(path) is None), None)


def quarantine_checkpoints(folder: Path, job_digest: str) -> list[str]:
    """Give another name to each checkpoint in `folder` that one of `job` cannot go on from, down to the newest that it
    can; a line for each.

    Raises:
        InputError: a later genlib wrote the newest one.
    """
    lines = []
    for path in list_checkpoints(folder):
        fault = _why_unusable(path, job_digest)
        if fault is None:
            break
        path.replace(path.with_suffix(".unfit"))
        lines.append(f"passed over {path}: {fault}")
    return lines


def _why_unusable(path: Path, job_digest: str | None = None) -> str | None:
    """Why one cannot go on from a checkpoint, or not in `job` where that is given; None where one can."""
    if not checksum_ok(path):
        return "its content is not what its name says"
    try:
        facts = _read_metadata(path)
    except InputError:
        raise
    except ValueError as error:
        return f"it is {error}"
    if facts["images_seen"] != int(path.stem.partition("-")[0]):
        return f"it was renamed, and has seen {facts['images_seen']} images"
    return None if job_digest in (None, facts["job"]) else "it is of another job"


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A checkpoint's tensors and facts (`images_seen`, `history`, `job`).

    Raises:
        ValueError: the file is not a checkpoint.
        InputError: a later genlib wrote it.
    """
    facts = _read_metadata(path)
    return load_file(path), facts


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            facts = dict(json.loads(file.metadata()["genlib"]))
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not a checkpoint ({error})") from error
    require_version(facts.get("version"), CHECKPOINT_VERSION, path)
    lacking = {"job", "images_seen", "history"} - facts.keys()
    if lacking or any("images_seen" not in row for row in facts["history"]):
        raise ValueError(f"not a checkpoint (it lacks {', '.join(sorted(lacking)) or 'images_seen'})")
    return facts


def read_final_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Tensor], list[dict[str, float]]]:
    """What a finished run leaves: its averaged weights, its raw weights and its history."""
    tensors, facts = read_checkpoint(path)
    return _select_prefix("ema.", tensors), _select_prefix("model.", tensors), facts["history"]


def _select_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _load_adam_state(optimizer: torch.optim.Optimizer, slots: Mapping[str, Tensor]) -> None:
    """Put Adam's moments back in the memory layout of their parameters, which the fused kernel relies on."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in slots.items():
        index, _, slot = name.partition(".")
        like = parameters[int(index)]
        moment = tensor if tensor.ndim == 0 else torch.empty_like(like, requires_grad=False).copy_(tensor)
        state.setdefault(int(index), {})[slot] = moment
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
