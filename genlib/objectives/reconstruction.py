"""The image again from its code, by squared error or by the cross-entropy of intensities (x + 1) / 2."""

from __future__ import annotations

from typing import Literal, Protocol, cast

from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.batches import Batch
from genlib.errors import InputError
from genlib.objectives.common.phases import Objective, Phase, StepLosses
from genlib.validation import require_one_of

ReconstructionLoss = Literal["mse", "cross_entropy"]
NEEDS_BOUNDED_OUTPUT = "cross_entropy needs an output between black and white: sigmoid or tanh"


class AutoencoderModel(Protocol):
    output: str
    slope: Tensor

    def encode_mean(self, x: Tensor) -> Tensor: ...
    def decoder(self, z: Tensor) -> Tensor: ...
    def intensity_logits(self, h: Tensor) -> Tensor: ...
    def apply_output(self, h: Tensor) -> Tensor: ...


class Reconstruction(Objective):
    """`mse` is the mean over the pixels; `cross_entropy` their sum, in nats an image."""

    def __init__(self, *, loss: ReconstructionLoss = "mse") -> None:
        require_one_of(ReconstructionLoss, loss=loss)
        self.loss = loss

    def phases(self, model: nn.Module) -> tuple[Phase, ...]:
        if not (hasattr(model, "encode_mean") and hasattr(model, "apply_output")):
            raise ValueError("the objective reconstruction needs a plain autoencoder")
        if self.loss == "cross_entropy" and model.output == "linear":
            raise ValueError(f"{NEEDS_BOUNDED_OUTPUT}, found linear")
        return (Phase("model", model, lambda batch: self.step_losses(cast(AutoencoderModel, model), batch)),)

    def step_losses(self, model: AutoencoderModel, batch: Batch) -> StepLosses:
        h = model.decoder(model.encode_mean(batch.x))
        error = (model.apply_output(h) - batch.x).square().flatten(1).mean(1)
        if self.loss == "mse":
            return StepLosses(error, {"mse": error.detach()})
        if batch.step == 0 and not model.slope > 0:
            raise InputError(
                f"{NEEDS_BOUNDED_OUTPUT}, found that auto chose linear: the training images are not black and white"
            )
        intensity = (batch.x + 1) / 2
        entropy = (
            F.binary_cross_entropy_with_logits(model.intensity_logits(h), intensity, reduction="none").flatten(1).sum(1)
        )
        return StepLosses(entropy, {"cross_entropy": entropy.detach(), "mse": error.detach()})


Build = Reconstruction
