"""Batch normalisation over the global batch: results do not depend on the number of workers.

    y = g (x - m) / s + b,  s = sqrt(v + eps)     dx = g / s (dy - mean(dy) - z mean(dy z)),  z = (x - m) / s

with mean m and variance v of each channel (Ioffe and Szegedy 2015), and all means over the batches of all workers.
"""

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from genlib.models.layers.double_backward import differentiable_gradients


class AllReduceMean(torch.autograd.Function):
    """The mean over all processes, on each. All losses depend on it, so its gradient is the mean of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return all_reduce_mean_(values.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        return AllReduceMean.apply(gradient)  # type: ignore[no-untyped-call]


class GlobalBatchNorm(torch.autograd.Function):
    """(x, g, b, eps) -> (y, m, v), in few passes over x; by `differentiable_batch_norm` under a gradient penalty."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
        local_mean, local_variance = torch.batch_norm_update_stats(x, None, None, 0.0)
        mean, square = all_reduce_mean_(torch.stack([local_mean, local_variance + local_mean.square()]))
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
            return *differentiable_gradients(ctx, y, (x, weight, bias), dy), None
        # dg = sum(dy z) and db = sum(dy) of this process; their means over all values of all processes give dx
        inverse_std = torch.rsqrt(variance + ctx.eps)
        _, d_weight, d_bias = torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, None, None, mean, inverse_std, True, ctx.eps, [False, True, True]
        )
        mean_dy_z, mean_dy = all_reduce_mean_(torch.stack([d_weight, d_bias])) / (x.numel() // x.shape[1])
        # dx is a batch normalisation of x with other g and b, plus g / s dy
        scale = weight * inverse_std
        dx = F.batch_norm(x, mean, variance, -mean_dy_z * weight * inverse_std, -mean_dy * scale, False, 0.0, ctx.eps)
        return dx.addcmul_(dy, scale[:, None, None]), d_weight, d_bias, None


def differentiable_batch_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """What `GlobalBatchNorm` computes, differentiable any number of times."""
    moments = torch.stack([x.mean((0, 2, 3)), x.square().mean((0, 2, 3))])
    mean, square = AllReduceMean.apply(moments)  # type: ignore[no-untyped-call]
    variance = square - mean.square()
    scale = weight * torch.rsqrt(variance + eps)
    return x * scale[:, None, None] + (bias - mean * scale)[:, None, None], mean, variance


def all_reduce_mean_(values: Tensor) -> Tensor:
    dist.all_reduce(values)
    return values.div_(dist.get_world_size())


class BatchNorm2d(nn.BatchNorm2d):
    """torch's own, over the batches of all processes, which have one size; gradients flow through m and v."""

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
            return super().forward(x)
        y: Tensor
        y, mean, variance = GlobalBatchNorm.apply(x.float(), self.weight, self.bias, self.eps)  # type: ignore[no-untyped-call]
        num_values = dist.get_world_size() * x.numel() // x.shape[1]
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (num_values / max(1, num_values - 1)), self.momentum)  # unbiased
        return y
