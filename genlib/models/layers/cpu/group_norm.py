"""Group normalisation of wide images in memory order NHWC, where torch's own takes many times as long as in NCHW
where a group has few channels.

    y = g (x - m) / s + b,  s = sqrt(v + eps)     dx = g / s dy - (mean(g dy) + z mean(g dy z)) / s,  z = (x - m) / s

with mean m, variance v and all means over one group of channels of one image (Wu and He 2018).
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genlib.models.layers.cpu.double_backward import differentiable_gradients

MAX_GROUP_CHANNELS = 8  # channels a group: from here on torch's own is as fast
MIN_PIXELS = 128  # pixels: below them a few more calls cost what they save


class FastGroupNorm(torch.autograd.Function):
    """(x, g, b, groups, eps) -> y, from the means of each channel of an image and one more pass over x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        level, square = _average_within_groups(torch.stack([x.mean((2, 3)), (x * x).mean((2, 3))]), groups)
        deviation = torch.rsqrt((square - level * level).clamp_min_(0.0) + eps)
        ctx.save_for_backward(x, weight, bias, level, deviation)
        ctx.groups, ctx.eps = groups, eps
        scale = deviation * weight
        return torch.addcmul(_to_channel_map(bias - level * scale), x, _to_channel_map(scale))

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Any:
        x, weight, bias, level, deviation = ctx.saved_tensors
        if torch.is_grad_enabled():
            y = F.group_norm(x, ctx.groups, weight, bias, ctx.eps)
            return *differentiable_gradients(y, (x, weight, bias), ctx.needs_input_grad[:3], dy), None, None
        plain = dy.mean((2, 3))
        weighed = ((dy * x).mean((2, 3)) - level * plain) * deviation
        both = torch.stack([weighed, plain])
        along, flat = _average_within_groups(both * weight, ctx.groups)
        slope = -along * deviation * deviation
        dx = torch.addcmul(_to_channel_map(-flat * deviation - slope * level), x, _to_channel_map(slope))
        return (
            dx.addcmul_(dy, _to_channel_map(deviation * weight)),
            *both.sum(1).mul_(x.shape[2] * x.shape[3]),
            None,
            None,
        )


class GroupNorm(nn.GroupNorm):
    """torch's own, by `Norm` where that is faster. Which one it is depends on no other image of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        if not self._should_use_fast(x):
            usual: Tensor = super().forward(x)
            return usual
        y: Tensor = FastGroupNorm.apply(x, self.weight, self.bias, self.num_groups, self.eps)  # type: ignore[no-untyped-call]
        return y

    def _should_use_fast(self, x: Tensor) -> bool:
        """Whether torch's own would be slow on `x`."""
        return (
            x.device.type == "cpu"
            and x.dtype == torch.float32
            and self.num_channels < MAX_GROUP_CHANNELS * self.num_groups
            and x.shape[2] * x.shape[3] >= MIN_PIXELS
            and x.is_contiguous(memory_format=torch.channels_last)
        )


def _average_within_groups(values: Tensor, groups: int) -> Tensor:
    """[.., C] -> [.., C]: each channel's value becomes the mean of its group's."""
    means = values.reshape(*values.shape[:-1], groups, -1).mean(-1)
    return means.repeat_interleave(values.shape[-1] // groups, -1)


def _to_channel_map(values: Tensor) -> Tensor:
    """[n, C] -> [n, C, 1, 1]."""
    return values[:, :, None, None]
