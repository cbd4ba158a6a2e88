"""The loss that a model defines itself, for models whose loss belongs to no other (a flow, a normalising map)."""

from __future__ import annotations

from typing import Protocol, cast

from torch import Tensor, nn

from genlib.data.batches import Batch
from genlib.objectives.common.phases import Objective, Phase, StepLosses


class ModelWithLoss(Protocol):
    def loss(self, batch: Batch) -> Tensor: ...


class ModelLoss(Objective):
    """`model.loss(batch)` [n], one value per example, moves the whole model."""

    def phases(self, model: nn.Module) -> tuple[Phase, ...]:
        if not callable(getattr(model, "loss", None)):
            raise ValueError(f"objective own needs a model with loss(batch), found none in {type(model).__name__}")
        return (Phase("model", model, lambda batch: self.step_losses(cast(ModelWithLoss, model), batch)),)

    def step_losses(self, model: ModelWithLoss, batch: Batch) -> StepLosses:
        loss = model.loss(batch)
        return StepLosses(loss, {"loss": loss.detach()})


Build = ModelLoss
