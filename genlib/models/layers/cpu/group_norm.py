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

from genlib.models.layers.cpu.double_backward import gradients

NARROW = 8  # channels a group: from here on torch's own is as fast
WIDE = 128  # pixels: below them a few more calls cost what they save


class Norm(torch.autograd.Function):
    """(x, g, b, groups, eps) -> y, from the means of each channel of an image and one more pass over x."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor, groups: int, eps: float) -> Tensor:
        level, square = _grouped(torch.stack([x.mean((2, 3)), (x * x).mean((2, 3))]), groups)
        deviation = torch.rsqrt((square - level * level).clamp_min_(0.0) + eps)
        context.save_for_backward(x, weight, bias, level, deviation)
        context.groups, context.eps = groups, eps
        scale = deviation * weight
        return torch.addcmul(_map(bias - level * scale), x, _map(scale))

    @staticmethod
    def backward(context: Any, dy: Tensor) -> Any:
        x, weight, bias, level, deviation = context.saved_tensors
        if torch.is_grad_enabled():
            y = F.group_norm(x, context.groups, weight, bias, context.eps)
            return *gradients(y, (x, weight, bias), context.needs_input_grad[:3], dy), None, None
        plain = dy.mean((2, 3))
        weighed = ((dy * x).mean((2, 3)) - level * plain) * deviation
        both = torch.stack([weighed, plain])
        along, flat = _grouped(both * weight, context.groups)
        slope = -along * deviation * deviation
        dx = torch.addcmul(_map(-flat * deviation - slope * level), x, _map(slope))
        return dx.addcmul_(dy, _map(deviation * weight)), *both.sum(1).mul_(x.shape[2] * x.shape[3]), None, None


class GroupNorm(nn.GroupNorm):
    """torch's own, by `Norm` where that is faster. Which one it is depends on no other image of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        if not self._slow(x):
            usual: Tensor = super().forward(x)
            return usual
        y: Tensor = Norm.apply(x, self.weight, self.bias, self.num_groups, self.eps)  # type: ignore[no-untyped-call]
        return y

    def _slow(self, x: Tensor) -> bool:
        """Whether torch's own would be slow on `x`."""
        return (
            x.device.type == "cpu"
            and x.dtype == torch.float32
            and self.num_channels < NARROW * self.num_groups
            and x.shape[2] * x.shape[3] >= WIDE
            and x.is_contiguous(memory_format=torch.channels_last)
        )


def _grouped(values: Tensor, groups: int) -> Tensor:
    """[.., C] -> [.., C]: each channel's value becomes the mean of its group's."""
    means = values.reshape(*values.shape[:-1], groups, -1).mean(-1)
    return means.repeat_interleave(values.shape[-1] // groups, -1)


def _map(values: Tensor) -> Tensor:
    """[n, C] -> [n, C, 1, 1]."""
    return values[:, :, None, None]
