"""An objective as the training loop sees it: the phases of one training step, one optimiser each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from genlib.data.batches import Batch


@dataclass(frozen=True)
class StepLosses:
    """`loss` [n], one value per example, and values to log, each [n] too and without a gradient."""

    loss: Tensor
    logged: Mapping[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "logged", {name: values.detach() for name, values in self.logged.items()})


@dataclass(frozen=True)
class Phase:
    """On every `interval`-th step an optimiser moves `module` to lower the mean of `step_losses(batch).loss`."""

    name: str
    module: nn.Module
    step_losses: Callable[[Batch], StepLosses]
    interval: int = 1


class Objective:
    """The base of training objectives. `domains`: it learns from `one` domain, from a `pair` (batch.x of one,
    batch.domain_b.x of the other), or from the `union` of both where there are two. `needs`: attributes that a model
    must have. `whole_batch`: why pieces of a batch would not give its step, where they do not."""

    domains: ClassVar[Literal["one", "pair", "union"]] = "one"
    needs: ClassVar[tuple[str, ...]] = ()
    whole_batch: ClassVar[str] = ""

    def check(self, model: nn.Module) -> None:
        """Raises ValueError where `model` lacks what the objective needs."""
        if missing := [name for name in self.needs if not hasattr(model, name)]:
            objective = type(self).__module__.rpartition(".")[2]
            raise ValueError(f"objective {objective}: got {type(model).__name__}, expected a model with {missing[0]}")

    def phases(self, model: nn.Module) -> tuple[Phase, ...]:
        """The phases of one step, in order; by default one that trains the whole model."""
        self.check(model)
        return (Phase("model", model, partial(self.step_losses, model)),)

    def step_losses(self, model: Any, batch: Batch) -> StepLosses:
        raise NotImplementedError
