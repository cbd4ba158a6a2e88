"""What objectives ask of a model with a likelihood."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from genlib.data.batches import Batch


class Posterior(Protocol):
    """q(z|x), a Gaussian independent in each dimension."""

    def at(self, noise: Tensor) -> Tensor: ...
    def log_ratio(self, z: Tensor) -> Tensor: ...
    def kl(self) -> Tensor: ...
    def detach(self) -> Posterior: ...


class LatentVariables(Protocol):
    conditional: bool
    observation: str
    latent: int
    noise: int

    def observe(self, x: Tensor, u: Tensor) -> Tensor: ...
    def encode(self, x: Tensor, y: Tensor | None = None) -> Posterior: ...
    def likelihood(self, x: Tensor, z: Tensor, y: Tensor | None = None) -> Tensor: ...
    def parts(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]: ...
    def log_weights(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Tensor: ...


def check(model: nn.Module) -> None:
    """Raises ValueError where `model` has no likelihood."""
    if not hasattr(model, "log_weights"):
        raise ValueError(f"the objective needs a model with a likelihood, found {type(model).__name__}")


def single(model: LatentVariables) -> bool:
    """Whether there is one stochastic layer, so that q(z|x) is all there is."""
    return model.noise == model.latent


def seen(model: LatentVariables, batch: Batch) -> tuple[Tensor, Tensor | None]:
    """A batch as the likelihood sees it at this visit: images and, for a conditional model, labels."""
    y = batch.y if model.conditional else None
    if model.observation == "intensity":
        return batch.x, y
    return model.observe(batch.x, batch.rand("observe", *batch.x.shape[1:])), y
