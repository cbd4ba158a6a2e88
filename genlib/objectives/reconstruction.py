"""The image from its code, by squared error or by the cross-entropy of intensities (x + 1) / 2."""

from dataclasses import dataclass
from typing import Any, Literal

from torch.nn.functional import binary_cross_entropy_with_logits

from genlib.data.batches import Batch
from genlib.errors import InputError
from genlib.objectives.common.phases import Objective, StepLosses
from genlib.validation import require_one_of

ReconstructionLoss = Literal["mse", "cross_entropy"]
BOUNDED_OUTPUTS = "expected sigmoid or tanh with the loss cross_entropy"


@dataclass(kw_only=True, eq=False)
class Reconstruction(Objective):
    """`mse` is the mean over the pixels; `cross_entropy` their sum, in nats an image."""

    loss: ReconstructionLoss = "mse"
    needs = ("encode_mean", "apply_output")

    def __post_init__(self) -> None:
        require_one_of(ReconstructionLoss, loss=self.loss)

    def check(self, model: Any) -> None:
        super().check(model)
        if self.loss == "cross_entropy" and model.output == "linear":
            raise ValueError(f"output: got linear, {BOUNDED_OUTPUTS}")

    def step_losses(self, model: Any, batch: Batch) -> StepLosses:
        h = model.decoder(model.encode_mean(batch.x))
        error = (model.apply_output(h) - batch.x).square().flatten(1).mean(1)
        if self.loss == "mse":
            return StepLosses(error, {"mse": error})
        if batch.step == 0 and not model.slope > 0:
            raise InputError(f"output: got linear, chosen by auto for images in grey, {BOUNDED_OUTPUTS}")
        logits, intensity = model.intensity_logits(h), (batch.x + 1) / 2
        entropy = binary_cross_entropy_with_logits(logits, intensity, reduction="none").flatten(1).sum(1)
        return StepLosses(entropy, {"cross_entropy": entropy, "mse": error})


Build = Reconstruction
