"""Group normalisation that is fast in memory order NHWC, where torch's own is slow if groups have few channels.

    y = g (x - m) / s + b,  s = sqrt(v + eps)     dx = g / s dy - (mean(g dy) + z mean(g dy z)) / s,  z = (x - m) / s

with mean m, variance v and all means over one group of channels of one image (Wu and He 2018).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlib.models.layers.double_backward import differentiable_gradients

MAX_GROUP_CHANNELS = 8  # from here on torch's own is as fast
MIN_PIXELS = 128  # below, the additional calls cost what they save


class FastGroupNorm(torch.autograd.Function):
    """(x, g, b, groups, eps) -> y, from the means of each channel of an image and one more pass over x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        mean, square = _average_within_groups(torch.stack([x.mean((2, 3)), (x * x).mean((2, 3))]), groups)
        inverse_std = torch.rsqrt((square - mean * mean).clamp_min_(0.0) + eps)
        ctx.save_for_backward(x, weight, bias, mean, inverse_std)
        ctx.groups, ctx.eps = groups, eps
        scale = inverse_std * weight
        return torch.addcmul((bias - mean * scale)[..., None, None], x, scale[..., None, None])

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        x, weight, bias, mean, inverse_std = ctx.saved_tensors
        if torch.is_grad_enabled():
            y = F.group_norm(x, ctx.groups, weight, bias, ctx.eps)
            return *differentiable_gradients(ctx, y, (x, weight, bias), dy), None, None
        # mean(dy z) and mean(dy) of each channel of an image; their sums over the batch are dg and db
        mean_dy = dy.mean((2, 3))
        mean_dy_z = ((dy * x).mean((2, 3)) - mean * mean_dy) * inverse_std
        both = torch.stack([mean_dy_z, mean_dy])
        # dx is linear in dy and x within a group, so it takes one pass: g / s dy + slope x + offset
        group_dy_z, group_dy = _average_within_groups(both * weight, ctx.groups)
        slope = -group_dy_z * inverse_std * inverse_std
        offset = -group_dy * inverse_std - slope * mean
        dx = torch.addcmul(offset[..., None, None], x, slope[..., None, None])
        dx.addcmul_(dy, (inverse_std * weight)[..., None, None])
        return dx, *both.sum(1).mul_(x.shape[2] * x.shape[3]), None, None


class GroupNorm(nn.GroupNorm):
    """torch's own, or `FastGroupNorm` where that is faster."""

    def forward(self, x: Tensor) -> Tensor:
        if not (
            x.device.type == "cpu"
            and x.dtype == torch.float32
            and self.num_channels < MAX_GROUP_CHANNELS * self.num_groups
            and x.shape[2] * x.shape[3] >= MIN_PIXELS
            and x.is_contiguous(memory_format=torch.channels_last)
        ):
            return super().forward(x)
        y: Tensor = FastGroupNorm.apply(x, self.weight, self.bias, self.num_groups, self.eps)  # type: ignore[no-untyped-call]
        return y


def _average_within_groups(values: Tensor, groups: int) -> Tensor:
    """[.., C] -> [.., C]: each channel's value becomes the mean of its group's."""
    means = values.reshape(*values.shape[:-1], groups, -1).mean(-1)
    return means.repeat_interleave(values.shape[-1] // groups, -1)
