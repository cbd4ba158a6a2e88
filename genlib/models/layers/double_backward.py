"""Gradients that can be differentiated again, for autograd functions with a backward of their own."""

from collections.abc import Sequence

import torch
from torch import Tensor


def differentiable_gradients(
    y: Tensor, inputs: Sequence[Tensor], needs_grad: Sequence[bool], grad_output: Tensor
) -> list[Tensor | None]:
    """The gradients of sum(y grad_output) for each of `inputs`, in a graph of their own; None where none is needed."""
    needed = [x for x, needs in zip(inputs, needs_grad, strict=True) if needs]
    gradients = iter(torch.autograd.grad(y, needed, grad_output, create_graph=True))
    return [next(gradients) if needs else None for needs in needs_grad]
