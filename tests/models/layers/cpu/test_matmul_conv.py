"""Layers that go another way are torch's layers: the same outputs, gradients and slopes of gradients, to rounding."""

import pytest
import torch
from torch import nn

from genlib.models.layers.cpu.matmul_conv import GrayConv2d, GrayConvTranspose2d, VectorConvTranspose2d

PAIRS = [
    (GrayConv2d, nn.Conv2d, (1, 6, 4, 2, 1), (5, 1, 9, 12)),
    (GrayConv2d, nn.Conv2d, (3, 6, 4, 2, 1), (5, 3, 8, 8)),
    (GrayConvTranspose2d, nn.ConvTranspose2d, (6, 1, 4, 2, 1), (5, 6, 4, 7)),
    (GrayConvTranspose2d, nn.ConvTranspose2d, (6, 3, 4, 2, 1), (5, 6, 4, 4)),
    (VectorConvTranspose2d, nn.ConvTranspose2d, (6, 7, (3, 4)), (5, 6, 1, 1)),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("thin", "plain", "sizes", "shape"), PAIRS)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_it_is_the_layer_of_torch(thin, plain, sizes, shape, bias, layout):
    torch.manual_seed(0)
    one = thin(*sizes, bias=bias).to(memory_format=layout)
    other = plain(*sizes, bias=bias)
    other.load_state_dict(one.state_dict())
    x = torch.randn(shape).contiguous(memory_format=layout).requires_grad_()
    torch.testing.assert_close(one(x.detach()), other(x.detach()))
    for mine, theirs in zip(derived(one, x), derived(other, x), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def derived(layer, x):
    """Outputs, the gradients of their squares, and the gradient of the image's gradient, squared."""
    y = layer(x)
    first = torch.autograd.grad(y.square().sum(), (x, *layer.parameters()), create_graph=True)
    second = torch.autograd.grad(first[0].square().sum(), (x, *layer.parameters()))
    return y, *first, *second
