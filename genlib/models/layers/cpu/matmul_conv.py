"""Convolutions that begin or end at a grey image or at a vector, as matrix products where a CPU's own are slow.

On a CPU in float32, oneDNN makes an image of one channel from many, or the gradient of one, at a twentieth of the speed
of a matrix product. The layers are torch's, with the same parameters; only the way through them differs.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def prefer_matmul(x: Tensor, channels: int) -> bool:
    """Whether a matrix product serves `x` better, with so many channels on the image's side."""
    return channels == 1 and x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")


class GrayConv2d(nn.Conv2d):
    """y = W unfold(x) where a gradient of the image is asked for, which is then a product too."""

    def forward(self, x: Tensor) -> Tensor:
        if not (x.requires_grad and prefer_matmul(x, self.in_channels)):
            return super().forward(x)
        pads = cast(tuple[int, ...], self.padding)
        places = F.unfold(x, self.kernel_size, self.dilation, pads, self.stride).transpose(1, 2)
        y = add_bias(places @ self.weight.flatten(1).T, self.bias)
        height, width = (
            (side + 2 * pad - kernel) // stride + 1
            for side, pad, kernel, stride in zip(x.shape[2:], pads, self.kernel_size, self.stride, strict=True)
        )
        return y.view(len(x), height, width, -1).permute(0, 3, 1, 2)


class GrayConvTranspose2d(nn.ConvTranspose2d):
    """fold(W^T x): what each place gives to the pixels around it, summed over the places."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not prefer_matmul(x, self.out_channels):
            return super().forward(x, output_size)
        pads = cast(tuple[int, ...], self.padding)
        places = self.weight.flatten(1).T @ x.permute(0, 2, 3, 1).flatten(1, 2).transpose(1, 2)
        height, width = (
            (side - 1) * stride - 2 * pad + kernel
            for side, pad, kernel, stride in zip(x.shape[2:], pads, self.kernel_size, self.stride, strict=True)
        )
        y = F.fold(places, (height, width), self.kernel_size, self.dilation, pads, self.stride)
        return add_bias(y.permute(0, 2, 3, 1), self.bias).permute(0, 3, 1, 2)


class VectorConvTranspose2d(nn.ConvTranspose2d):
    """[n, k, 1, 1] -> [n, c, height, width] of the kernel: a linear layer."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        weight = self.weight.permute(0, 2, 3, 1)
        y = (x.flatten(1) @ weight.flatten(1)).view(len(x), *weight.shape[1:])
        return add_bias(y, self.bias).permute(0, 3, 1, 2)


def add_bias(y: Tensor, bias: Tensor | None) -> Tensor:
    """[..., c] and, where there is one, a bias [c]."""
    return y if bias is None else y + bias
