"""The interface of models with a likelihood."""

from typing import Any, Protocol

from torch import Tensor

from genlib.data.batches import Batch
from genlib.models.layers.pixel_likelihood import BITS_OFFSET, bits_per_dim


class LikelihoodModel(Protocol):
    conditional: bool
    pixel_likelihood: str
    latent: int
    noise_dim: int  # `latent` with one stochastic layer, more with several
    nll_offset: float

    def binarize_or_dequantize(self, x: Tensor, u: Tensor) -> Tensor: ...
    def encode(self, x: Tensor, y: Tensor | None = None) -> Any: ...  # q(z|x), a diagonal normal distribution
    def log_likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor: ...
    def log_px_and_log_ratio(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]: ...
    def log_weights(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Tensor: ...


def observed_batch(model: LikelihoodModel, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """The batch binarised or dequantised for this step: images and, for a conditional model, labels."""
    y = batch.y if model.conditional else None
    if model.pixel_likelihood in ("gray_bce", "discretized_logistic"):
        return batch.x, y
    return model.binarize_or_dequantize(batch.x, batch.rand("observe", *batch.x.shape[1:])), y


def logged_bits(model: LikelihoodModel, x: Tensor, nll: Tensor) -> dict[str, Tensor]:
    """`bits_per_dim` [n] of images x with a bound `nll` [n] of -log p(x), where that is of 8-bit pixels."""
    if model.pixel_likelihood not in BITS_OFFSET:
        return {}
    return {"bits_per_dim": bits_per_dim(model.pixel_likelihood, nll + model.nll_offset, x[0].numel())}
