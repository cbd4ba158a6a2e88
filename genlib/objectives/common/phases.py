"""What an objective hands to the loop: the turns of one training step, one optimiser each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from torch import Tensor, nn

from genlib.data.batches import Batch


@dataclass(frozen=True)
class StepLosses:
    """What one turn lowers: `loss` [n], one value per example, and what is worth watching, each [n] too."""

    loss: Tensor
    logged: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """One optimiser's share of a step: it moves `module` to lower the mean of `terms(batch).loss`.

    `every` counts steps: a turn with every=2 is taken on every second step.
    """

    name: str
    module: nn.Module
    step_losses: Callable[[Batch], StepLosses]
    interval: int = 1


class Objective:
    """What a model is trained for.

    `domains`: whether it learns from `one` domain, from a `pair` (batch.x of one, batch.other.x of the other), or from
    the `union` of both where there are two.
    """

    domains: ClassVar[Literal["one", "pair", "union"]] = "one"

    def phases(self, model: nn.Module) -> tuple[Phase, ...]:
        """The turns of one step, in order; raises ValueError where `model` lacks what they need."""
        raise NotImplementedError
