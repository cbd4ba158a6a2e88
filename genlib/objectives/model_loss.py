"""A loss that the model defines itself (a flow, a normalising map)."""

from typing import Any

from genlib.data.batches import Batch
from genlib.objectives.common.phases import Objective, StepLosses


class ModelLoss(Objective):
    """`model.loss(batch)` [n], one value per example, moves the whole model."""

    needs = ("loss",)

    def step_losses(self, model: Any, batch: Batch) -> StepLosses:
        loss = model.loss(batch)
        return StepLosses(loss, {"loss": loss})


Build = ModelLoss
