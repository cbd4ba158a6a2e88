"""The loss that a model defines itself, for models whose loss belongs to no other (a flow, a normalising map)."""

from __future__ import annotations

from typing import Protocol, cast

from torch import Tensor, nn

from genlib.data.batches import Batch
from genlib.objectives.common.phases import Objective, Terms, Turn


class Learns(Protocol):
    def loss(self, batch: Batch) -> Tensor: ...


class Own(Objective):
    """`model.loss(batch)` [n], one value per example, moves the whole model."""

    def turns(self, model: nn.Module) -> tuple[Turn, ...]:
        if not callable(getattr(model, "loss", None)):
            raise ValueError(f"objective own needs a model with loss(batch), found none in {type(model).__name__}")
        return (Turn("model", model, lambda batch: self.terms(cast(Learns, model), batch)),)

    def terms(self, model: Learns, batch: Batch) -> Terms:
        loss = model.loss(batch)
        return Terms(loss, {"loss": loss.detach()})


Build = Own
