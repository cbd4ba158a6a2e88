"""Penalties on a discriminator's gradient with respect to the image, one value per image, which keep it smooth.

In float32 whatever the step's precision, since the squares lose too much in bfloat16.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Discriminator = Callable[[Tensor], Tensor]  # images [n, C, H, W] -> logits [n, 1]


def zero_centered_penalty(discriminator: Discriminator, x: Tensor) -> Tensor:
    """||grad D(x)||^2 / 2 [n]: R1 at real, R2 at generated images (Mescheder, Geiger and Nowozin 2018)."""
    return input_gradient(discriminator, x).square().flatten(1).sum(1) / 2


def one_centered_penalty(discriminator: Discriminator, x: Tensor) -> Tensor:
    """(||grad D(x)|| - 1)^2 [n], for points between real and generated images (Gulrajani et al. 2017, equation 3)."""
    lengths: Tensor = torch.linalg.vector_norm(input_gradient(discriminator, x).flatten(1), dim=1)
    return (lengths - 1).square()


def interpolate_images(real: Tensor, fake: Tensor, real_weight: Tensor) -> Tensor:
    """w real + (1 - w) fake, w = `real_weight` [n] in [0, 1]."""
    return torch.lerp(fake, real, real_weight[:, None, None, None])


def input_gradient(discriminator: Discriminator, x: Tensor) -> Tensor:
    """grad D(x) [n, C, H, W], differentiable in the parameters of D."""
    x = x.detach().float().requires_grad_()
    with torch.autocast(x.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)
    return gradient
