"""Batch normalisation over the global batch: workers with a share each normalise as one with the whole would.

    y = g (x - m) / s + b,  s = sqrt(v + eps)     dx = g / s (dy - mean(dy) - z mean(dy z)),  z = (x - m) / s

with mean m and variance v of each channel (Ioffe and Szegedy 2015), and all means over the batches of all workers.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from genlib.models.layers.cpu.double_backward import differentiable_gradients


class AllReduceMean(torch.autograd.Function):
    """The mean over all processes, on each; since each one's loss depends on it, the gradient is the mean of theirs
    summed, which is the mean again."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return all_reduce_mean_(values.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return AllReduceMean.apply(gradient)  # type: ignore[no-untyped-call]


class GlobalBatchNorm(torch.autograd.Function):
    """(x, g, b, eps) -> (y, m, v), in few passes over x. A gradient that is to be differentiated again (a penalty's)
    goes through `normal` instead."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        own_mean, own_variance = torch.batch_norm_update_stats(x, None, None, 0.0)
        mean, square = all_reduce_mean_(torch.stack([own_mean, own_variance + own_mean.square()]))
        variance = square - mean.square()
        ctx.save_for_backward(x, weight, bias, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps), mean, variance

    @staticmethod
    def backward(ctx: Any, dy: Tensor, *_: Any) -> Any:
        x, weight, bias, mean, variance = ctx.saved_tensors
        if torch.is_grad_enabled():
            y = differentiable_batch_norm(x, weight, bias, ctx.eps)[0]
            return *differentiable_gradients(y, (x, weight, bias), ctx.needs_input_grad[:3], dy), None
        deviation = torch.rsqrt(variance + ctx.eps)
        _, weighed, total = torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, None, None, mean, deviation, True, ctx.eps, [False, True, True]
        )
        along, level = all_reduce_mean_(torch.stack([weighed, total])) / (x.numel() // x.shape[1])
        scale = weight * deviation
        dx = F.batch_norm(x, mean, variance, -along * weight * deviation, -level * scale, False, 0.0, ctx.eps)
        return dx.addcmul_(dy, scale[:, None, None]), weighed, total, None


def differentiable_batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """What `Norm` computes, differentiable as often as one likes."""
    moments = torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])
    mean, square = AllReduceMean.apply(moments)  # type: ignore[no-untyped-call]
    variance = square - mean.square()
    scale = weight * torch.rsqrt(variance + eps)
    return x * scale[:, None, None] + (bias - mean * scale)[:, None, None], mean, variance


def all_reduce_mean_(values: Tensor) -> Tensor:
    """The mean of `values` over all processes, in their place."""
    dist.all_reduce(values)
    return values.div_(dist.get_world_size())


class BatchNorm2d(nn.BatchNorm2d):
    """torch's own, over the batches of all processes, which have one size; gradients flow through m and v."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            alone: Tensor = super().forward(x)
            return alone
        found: tuple[Tensor, Tensor, Tensor]
        found = GlobalBatchNorm.apply(x.float(), self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        y, mean, variance = found
        self._update_running_stats(mean, variance, dist.get_world_size() * x.numel() // x.shape[1])
        return y

    @torch.no_grad()
    def _update_running_stats(self, mean: Tensor, variance: Tensor, num_values: int) -> None:
        """Move the running statistics, which hold the unbiased variance of n values."""
        assert self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None
        assert self.momentum is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (num_values / max(1, num_values - 1)), self.momentum)
