"""The interface of models with a likelihood."""

from typing import Any, Protocol

from torch import Tensor

from genlib.data.batches import Batch


class LikelihoodModel(Protocol):
    conditional: bool
    pixel_likelihood: str
    latent: int
    noise_dim: int  # `latent` with one stochastic layer, more with several

    def binarize_or_dequantize(self, x: Tensor, u: Tensor) -> Tensor: ...
    def bits_per_dim(self, nll: Tensor) -> Tensor | None: ...  # None where pixels do not have 8 bits
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


def bits_to_log(model: LikelihoodModel, nll: Tensor) -> dict[str, Tensor]:
    """`bits_per_dim` [n] of a bound `nll` [n] of -log p(x), where that is of 8-bit pixels."""
    bits = model.bits_per_dim(nll)
    return {} if bits is None else {"bits_per_dim": bits}
