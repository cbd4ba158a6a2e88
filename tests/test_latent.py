"""Tools for codes, on models whose answers are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from genlib import latent
from genlib.data.images import MAX_CHUNK
from genlib.latent import (
    PIXEL_STD,
    attribute_vector,
    edit,
    interpolate,
    invert,
    most_sensitive_axes,
    prior_grid,
    reconstruct,
    traverse,
)

SHAPE = (1, 2, 3)


class Linear(nn.Module):
    """decode_image(z) = W z, encode_mean(x) its inverse on the images it makes."""

    def __init__(self, latent=4, seed=0):
        super().__init__()
        self.latent = latent
        self.w = nn.Parameter(torch.randn(6, latent, generator=torch.Generator().manual_seed(seed)))

    def decode_image(self, z):
        return (z @ self.w.T).view(-1, *SHAPE)

    def encode_mean(self, x):
        return x.flatten(1) @ torch.linalg.pinv(self.w).T


class Labelled(Linear):
    """The same, moved by its class."""

    conditional = True

    def decode_image(self, z, y):
        return super().decode_image(z) + y.view(-1, 1, 1, 1)

    def encode_mean(self, x, y):
        return super().encode_mean(x - y.view(-1, 1, 1, 1))


@pytest.fixture
def model():
    return Linear()


def codes(n, latent=4, seed=1):
    return torch.randn(n, latent, generator=torch.Generator().manual_seed(seed))


def test_a_model_gives_back_the_images_it_can_make(model):
    x = latent.decode_image(model, codes(5))
    torch.testing.assert_close(reconstruct(model, x), x)
    assert not reconstruct(model, x).requires_grad


def test_chunks_keep_codes_and_classes_together():
    z, y = codes(MAX_CHUNK + 7), torch.arange(MAX_CHUNK + 7)
    model = Labelled()
    x = latent.decode_image(model, z, y)
    torch.testing.assert_close(x, model.decode_image(z, y))
    torch.testing.assert_close(latent.encode_mean(model, x, y), z, rtol=1e-3, atol=1e-3)


def test_an_edit_moves_the_image_by_the_image_of_the_change(model):
    x, change = latent.decode_image(model, codes(3)), codes(1, seed=2)
    torch.testing.assert_close(edit(model, x, change), x + model.decode_image(change))


def test_an_edit_may_exchange_the_class():
    model, y = Labelled(), torch.tensor([0, 3])
    x = latent.decode_image(model, codes(2), y)
    torch.testing.assert_close(edit(model, x, torch.zeros(4), y, y + 5), x + 5)


@pytest.mark.parametrize("how", ["linear", "spherical"])
def test_a_way_begins_and_ends_at_its_ends(how):
    a, b = codes(6), codes(6, seed=2)
    way = interpolate(a, b, 5, how)
    assert way.shape == (6, 5, 4)
    torch.testing.assert_close(way[:, 0], a)
    torch.testing.assert_close(way[:, -1], b)


def test_the_straight_way_has_equal_steps():
    way = interpolate(codes(3), codes(3, seed=2), 7)
    steps = way.diff(dim=1)
    torch.testing.assert_close(steps, steps[:, :1].expand_as(steps))


def test_the_spherical_way_keeps_the_length_and_turns_by_equal_angles():
    a, b = (nn.functional.normalize(codes(8, seed=seed)) * 3 for seed in (1, 2))
    way = interpolate(a, b, 6, "spherical")
    torch.testing.assert_close(way.norm(dim=2), torch.full((8, 6), 3.0))
    turns = torch.cosine_similarity(way[:, 1:], way[:, :-1], dim=2).acos()
    whole = torch.cosine_similarity(a, b).acos()
    torch.testing.assert_close(turns, (whole / 5)[:, None].expand(8, 5), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0])
def test_the_spherical_way_is_straight_where_there_is_no_arc(factor):
    a = codes(4)
    way = interpolate(a, factor * a, 5, "spherical")
    assert way.isfinite().all()
    torch.testing.assert_close(way, interpolate(a, factor * a, 5), rtol=1e-3, atol=1e-2)


def test_a_traverse_changes_one_coordinate():
    z = codes(3)
    line = traverse(z, 2, -1.0, 1.0, 5)
    assert line.shape == (3, 5, 4)
    torch.testing.assert_close(line[..., 2], torch.linspace(-1, 1, 5).expand(3, 5))
    others = [0, 1, 3]
    torch.testing.assert_close(line[..., others], z[:, None, others].expand(3, 5, 3))


def test_the_manifold_lies_at_the_quantiles_of_the_normal(model):
    z = prior_grid(model, 7, (3, 1)).view(7, 7, 4)
    values = torch.tensor(norm.ppf((np.arange(7) + 0.5) / 7), dtype=torch.float32)
    torch.testing.assert_close(z[..., 3], values[:, None].expand(7, 7))
    torch.testing.assert_close(z[..., 1], values.expand(7, 7))
    assert not z[..., [0, 2]].any()


def test_an_attribute_is_a_difference_of_means():
    z, labels = codes(60), torch.arange(60) % 3
    means = [z[labels == label].mean(0) for label in range(3)]
    torch.testing.assert_close(attribute_vector(z, labels, 0), means[0] - (means[1] + means[2]) / 2)
    torch.testing.assert_close(attribute_vector(z, labels, 0, 2), means[0] - means[2])
    shifted = z + torch.eye(4)[0] * (labels == 1)[:, None]
    torch.testing.assert_close(attribute_vector(shifted, labels, 1) - attribute_vector(z, labels, 1), torch.eye(4)[0])


def test_the_liveliest_axis_comes_first(model):
    order = most_sensitive_axes(model, codes(1))
    assert order.tolist() == model.w.norm(dim=0).argsort(descending=True).tolist()


def likeliest(model, x):
    """The mode of the posterior of a linear model: (W^T W + s^2 I)^-1 W^T x."""
    w = model.w.detach()
    return torch.linalg.solve(w.T @ w + PIXEL_STD**2 * torch.eye(model.latent), w.T @ x.flatten(1).T).T


@pytest.mark.parametrize("n", [1, 5])
def test_inversion_finds_the_likeliest_code(model, n):
    x = torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(4))
    found = invert(model, x, steps=400)
    torch.testing.assert_close(found.z, likeliest(model, x), rtol=1e-3, atol=1e-3)
    again = model.decode_image(found.z)
    torch.testing.assert_close(found.error, (again - x).square().mean((1, 2, 3)))
    assert not found.z.requires_grad
    assert model.w.grad is None


def test_inversion_of_a_conditional_model_keeps_its_classes():
    model, y = Labelled(), torch.tensor([4, 0, 2])
    z = codes(3) / 2
    found = invert(model, model.decode_image(z, y), steps=400, y=y)
    torch.testing.assert_close(found.z, z, rtol=0.05, atol=0.05)
    assert found.error.max() < 1e-3


class Wells(nn.Module):
    """z -> (z^2 - 1)^2 + 0.3 z, with wells at 1 and, the deeper, at -1."""

    latent = 1

    def decode_image(self, z):
        return ((z.square() - 1).square() + 0.3 * z).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)


def test_inversion_takes_the_best_of_its_starts():
    found = invert(Wells(), torch.full((60, 1, 4, 4), -0.3), steps=300)
    share = (found.error < 0.01).float().mean()  # 1 - 2^-4 of them, half of them from a single start
    assert share > 0.8
    assert (found.z[found.error < 0.01] < 0).all()


def test_the_same_seed_finds_the_same_codes(model):
    x = torch.ones(2, *SHAPE)
    first, second, third = (invert(model, x, steps=5, seed=seed).z for seed in (0, 0, 1))
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    assert not torch.equal(first, third)


def test_inversion_tells_how_far_it_is(model):
    steps = []
    invert(model, torch.zeros(1, *SHAPE), steps=4, track=lambda items: (steps.append(i) or i for i in items))
    assert steps == [0, 1, 2, 3]
