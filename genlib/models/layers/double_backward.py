"""Gradients that can be differentiated again, for autograd functions with a backward of their own."""

from typing import Any

import torch
from torch import Tensor


def differentiable_gradients(ctx: Any, y: Tensor, inputs: tuple[Tensor, ...], dy: Tensor) -> list[Tensor | None]:
    """The gradients of sum(y dy) for each of the first `inputs` of `ctx`, as a graph; None where none is needed."""
    needed = [x for x, needs in zip(inputs, ctx.needs_input_grad, strict=False) if needs]
    gradients = iter(torch.autograd.grad(y, needed, dy, create_graph=True))
    return [next(gradients) if needs else None for needs in ctx.needs_input_grad[: len(inputs)]]
