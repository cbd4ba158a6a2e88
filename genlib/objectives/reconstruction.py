"""The image again from its code, by squared error or by the cross-entropy of intensities (x + 1) / 2."""

from __future__ import annotations

from typing import Literal, Protocol, cast

from torch import Tensor, nn
from torch.nn import functional as F

from genlib.data.batches import Batch
from genlib.errors import InputError
from genlib.objectives.common.phases import Objective, Terms, Turn
from genlib.validation import one_of

LossName = Literal["mse", "cross_entropy"]
BOUNDED = "cross_entropy needs an output between black and white: sigmoid or tanh"


class Autoencodes(Protocol):
    output: str
    slope: Tensor

    def code(self, x: Tensor) -> Tensor: ...
    def decoder(self, z: Tensor) -> Tensor: ...
    def logits(self, h: Tensor) -> Tensor: ...
    def output_of(self, h: Tensor) -> Tensor: ...


class Reconstruction(Objective):
    """`mse` is the mean over the pixels; `cross_entropy` their sum, in nats an image."""

    def __init__(self, *, loss: LossName = "mse") -> None:
        one_of(LossName, loss=loss)
        self.loss = loss

    def turns(self, model: nn.Module) -> tuple[Turn, ...]:
        if not (hasattr(model, "code") and hasattr(model, "output_of")):
            raise ValueError("the objective reconstruction needs a plain autoencoder")
        if self.loss == "cross_entropy" and model.output == "linear":
            raise ValueError(f"{BOUNDED}, found linear")
        return (Turn("model", model, lambda batch: self.terms(cast(Autoencodes, model), batch)),)

    def terms(self, model: Autoencodes, batch: Batch) -> Terms:
        h = model.decoder(model.code(batch.x))
        error = (model.output_of(h) - batch.x).square().flatten(1).mean(1)
        if self.loss == "mse":
            return Terms(error, {"mse": error.detach()})
        if batch.step == 0 and not model.slope > 0:
            raise InputError(f"{BOUNDED}, found that auto chose linear: the training images are not black and white")
        intensity = (batch.x + 1) / 2
        entropy = F.binary_cross_entropy_with_logits(model.logits(h), intensity, reduction="none").flatten(1).sum(1)
        return Terms(entropy, {"cross_entropy": entropy.detach(), "mse": error.detach()})


Build = Reconstruction
