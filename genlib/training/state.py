"""The state of a training run: weights, their average, optimisers, images seen and history."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from genlib.errors import InputError, one_line
from genlib.objectives.common.phases import Phase
from genlib.training import ema
from genlib.training.checkpoints import Checkpoint, serialize_checkpoint, write_checkpoint
from genlib.training.config import TrainConfig


class EagerAdam(torch.optim.Adam):
    """torch's Adam, bit for bit, without the import of torch's compiler, which takes 2 s."""

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))


@dataclass
class TrainState:
    model: nn.Module
    ema: nn.Module
    phases: tuple[Phase, ...]
    optimizers: tuple[torch.optim.Optimizer, ...]
    images_seen: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def create(cls, model: nn.Module, phases: tuple[Phase, ...], config: TrainConfig) -> Self:
        """The state before the first step, with an Adam (Kingma & Ba 2015) for each phase."""
        options: Any = {"betas": (config.beta1, config.beta2), "eps": config.eps, "fused": True}
        rates = [config.lr_by_phase.get(phase.name, config.lr) for phase in phases]
        adams = (EagerAdam(phase.module.parameters(), lr, **options) for phase, lr in zip(phases, rates, strict=True))
        return cls(model, ema.frozen_copy(model), phases, tuple(adams))

    def save(self, folder: Path, job_digest: str = "") -> Path:
        """Write a checkpoint into `folder`, and keep one before it."""
        tensors = dict(self._named_tensors())
        return write_checkpoint(folder, *serialize_checkpoint(tensors, job_digest, self.images_seen, self.history))

    def load(self, checkpoint: Checkpoint) -> None:
        """Restore the checkpoint, bit for bit; raises InputError where it holds the state of another model."""
        try:
            self.model.load_state_dict(checkpoint.tensors("model."))
            self.ema.load_state_dict(checkpoint.tensors("ema."))
            for phase, optimizer in zip(self.phases, self.optimizers, strict=True):
                _load_adam_state(optimizer, checkpoint.tensors(f"adam.{phase.name}."))
        except (RuntimeError, ValueError, IndexError, KeyError) as error:
            found = f"the state of another model ({one_line(error)})"
            raise InputError(f"{checkpoint.path}: got {found}, expected of this one") from error
        self.images_seen, self.history = checkpoint.images_seen, checkpoint.history

    def _named_tensors(self) -> Iterator[tuple[str, Tensor]]:
        for prefix, module in (("model.", self.model), ("ema.", self.ema)):
            yield from ((prefix + name, tensor.contiguous()) for name, tensor in module.state_dict().items())
        for phase, optimizer in zip(self.phases, self.optimizers, strict=True):
            for index, slots in optimizer.state_dict()["state"].items():
                yield from ((f"adam.{phase.name}.{index}.{slot}", t.contiguous()) for slot, t in slots.items())


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
