"""Group normalisation: the faster way is torch's own in value and gradient, and each image is normalised alone."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genlib.models.layers.cpu.group_norm import MIN_PIXELS, FastGroupNorm, GroupNorm

SHAPES = [(3, 16, 12, 11), (2, 48, 14, 14), (1, 8, 16, 16), (2, 6, 12, 12)]


def images(*shape, dtype=torch.float32):
    """Neither centred nor of unit variance, in the memory order of convolutions."""
    drawn = 3.0 + 2.0 * torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=dtype)
    return drawn.contiguous(memory_format=torch.channels_last).requires_grad_()


def layer(channels, kind=GroupNorm):
    made = kind(2 if channels % 8 else 8, channels)
    with torch.no_grad():
        made.weight.copy_(torch.linspace(-1.0, 2.0, channels))
        made.bias.copy_(torch.linspace(0.5, -0.5, channels))
    return made


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_torchs_own_in_value_and_gradient(shape):
    x = images(*shape)
    found = {}
    for kind in (GroupNorm, nn.GroupNorm):
        made = layer(shape[1], kind)
        y = made(x)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        found[kind] = y, x.grad, made.weight.grad, made.bias.grad
        x.grad = None
    assert type(found[GroupNorm][0].grad_fn).__name__ == "FastGroupNormBackward"
    for own, theirs in zip(*found.values(), strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-4, atol=1e-4 * float(theirs.detach().abs().max()))


def test_its_gradients_and_theirs_are_right():
    """By finite differences."""
    x = images(2, 4, 2, 3, dtype=torch.double)
    weight, bias = (torch.randn(4, dtype=torch.double, requires_grad=True) for _ in range(2))

    def norm(*inputs):
        return FastGroupNorm.apply(*inputs, 2, 1e-5)

    assert torch.autograd.gradcheck(norm, (x, weight, bias))
    assert torch.autograd.gradgradcheck(norm, (x, weight, bias))
    torch.testing.assert_close(norm(x, weight, bias), F.group_norm(x, 2, weight, bias, 1e-5))


def test_flat_images_have_no_deviation_and_do_no_harm():
    x = torch.full((2, 16, 12, 12), 1e3).contiguous(memory_format=torch.channels_last)
    assert torch.isfinite(layer(16)(x)).all()


@pytest.mark.parametrize("narrow", [False, True], ids=["wide", "narrow"])
@pytest.mark.parametrize("form", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels_last"])
def test_an_image_is_normalised_alike_in_any_batch(form, narrow):
    side = 4 if narrow else 16
    assert (side * side < MIN_PIXELS) == narrow
    x, made = images(7, 16, side, side).detach().contiguous(memory_format=form), layer(16)
    torch.testing.assert_close(made(x)[2:5], made(x[2:5]), rtol=0, atol=0)
    assert made(x).is_contiguous(memory_format=form)
