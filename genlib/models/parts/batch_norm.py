"""Batch normalisation over the global batch: workers with a share each normalise as one with the whole would."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Sum(torch.autograd.Function):
    """The sum over all processes, on each; since each one's loss depends on it, so is the gradient."""

    @staticmethod
    def forward(context: object, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: object, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total


class BatchNorm2d(nn.BatchNorm2d):
    """y = g (x - m) / sqrt(v + eps) + b with mean m and variance v of each channel (Ioffe and Szegedy 2015).

    In a group of processes m and v are of all their batches, which have one size, and gradients flow through both.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            alone: Tensor = super().forward(x)
            return alone
        x = x.float()
        moments = torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])
        mean, square = Sum.apply(moments) / dist.get_world_size()  # type: ignore[no-untyped-call]
        variance = square - mean.square()
        self._follow(mean.detach(), variance.detach(), dist.get_world_size() * x.numel() // x.shape[1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normal: Tensor = x * scale[:, None, None] + (self.bias - mean * scale)[:, None, None]
        return normal

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, n: int) -> None:
        """Move the running statistics, which hold the unbiased variance of n values."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (n / max(1, n - 1)), self.momentum)
