"""Gradients that are differentiated again, for functions that write out their own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def differentiable_gradients(
    y: Tensor, inputs: Sequence[Tensor], needs_grad: Sequence[bool], grad_output: Tensor
) -> list[Tensor | None]:
    """The gradients of sum(y dy) for each of `inputs`, in a graph of their own; None for what is not wanted."""
    asked = [each for each, one in zip(inputs, needs_grad, strict=True) if one]
    found = iter(torch.autograd.grad(y, asked, grad_output, create_graph=True))
    return [next(found) if one else None for one in needs_grad]
