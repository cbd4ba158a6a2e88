"""Tools for the space of codes of any model with `image(z)`, and with `code(x)` where it encodes.

Codes are tensors [n, latent]. A conditional model is asked with the classes `y` int64 [n] as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Literal, Protocol

import torch
from torch import Tensor

from genlib.data.batches import seeded_generator

CHUNK_SIZE = 500  # images at a time
NUM_STARTS = 4  # of `invert`, for each image
PIXEL_STD = 0.1  # standard deviation of a pixel in [-1, 1] about the image of its code, for `invert`
InterpolationPath = Literal["linear", "spherical"]


class DecodingModel(Protocol):
    latent: int

    def decode_image(self, z: Tensor, *y: Tensor) -> Tensor: ...


class EncodingModel(DecodingModel, Protocol):
    def encode_mean(self, x: Tensor, *y: Tensor) -> Tensor: ...


def decode_image(model: DecodingModel, z: Tensor, y: Tensor | None = None) -> Tensor:
    """The images [n, C, H, W] of codes z."""
    return _map_in_chunks(model.decode_image, z, y)


def encode_mean(model: EncodingModel, x: Tensor, y: Tensor | None = None) -> Tensor:
    """The codes of images x [n, C, H, W]."""
    return _map_in_chunks(model.encode_mean, x, y)


@torch.no_grad()
def _map_in_chunks(function: Callable[..., Tensor], values: Tensor, y: Tensor | None) -> Tensor:
    given = [torch.split(each, CHUNK_SIZE) for each in (values, y) if each is not None]
    return torch.cat([function(*part).float() for part in zip(*given, strict=True)])


def reconstruct(model: EncodingModel, x: Tensor, y: Tensor | None = None) -> Tensor:
    """x as its code tells it."""
    return decode_image(model, encode_mean(model, x, y), y)


def edit(
    model: EncodingModel, x: Tensor, shift: Tensor, y: Tensor | None = None, target_y: Tensor | None = None
) -> Tensor:
    """Encode, edit, decode: x with `change` added to its code and, in a conditional model, class `to` in place of y."""
    return decode_image(model, encode_mean(model, x, y) + shift, y if target_y is None else target_y)


def interpolate(a: Tensor, b: Tensor, steps: int, path: InterpolationPath = "linear") -> Tensor:
    """Codes [n, steps, latent] on the way from a to b, both included.

    Spherical: sin((1 - t) w) / sin w a + sin(t w) / sin w b, w the angle between them (Shoemake 1985), which keeps the
    length that codes of a normal prior have (White 2016, "Sampling generative networks").
    """
    t = torch.linspace(0, 1, steps, device=a.device)[:, None]
    a, b = a[:, None], b[:, None]
    if path == "linear":
        return (1 - t) * a + t * b
    angle = torch.cosine_similarity(a, b, dim=2).clamp(-1, 1).acos()[..., None]
    straight = angle.sin() < 1e-3  # on one line there is no arc to follow, or no single one
    ratio = torch.where(straight, 1.0, angle.sin())
    arc = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / ratio
    return torch.where(straight, (1 - t) * a + t * b, arc)


def traverse(z: Tensor, axis: int, low: float, high: float, steps: int) -> Tensor:
    """Codes [n, steps, latent]: z with its coordinate `axis` set to `steps` values from low to high."""
    line = z[:, None].repeat(1, steps, 1)
    line[..., axis] = torch.linspace(low, high, steps, device=z.device)
    return line


def prior_grid(model: DecodingModel, side: int, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """Codes [side * side, latent] on a square grid over two axes, row by row, the others 0.

    The values are the normal's quantiles at (i + 1/2) / side, so each stands for the same share of the prior (Kingma
    and Welling 2013, figure 4).
    """
    values = torch.special.ndtri((torch.arange(side) + 0.5) / side)
    z = torch.zeros(side * side, model.latent)
    z[:, axes[0]], z[:, axes[1]] = values.repeat_interleave(side), values.repeat(side)
    return z


def attribute_vector(codes: Tensor, labels: Tensor, a: int, b: int | None = None) -> Tensor:
    """The vector [latent] of class a: the mean of its codes minus that of class b, or of all the rest."""
    rest = labels != a if b is None else labels == b
    return codes[labels == a].mean(0) - codes[rest].mean(0)


def most_sensitive_axes(model: DecodingModel, z: Tensor, y: Tensor | None = None) -> Tensor:
    """All axes int64 [latent], first the one along which the image of one code z [1, latent] changes the most, from
    one unit below to one above."""
    step = torch.eye(model.latent, device=z.device)
    y = None if y is None else y.expand(model.latent)
    change = decode_image(model, z + step, y) - decode_image(model, z - step, y)
    return change.square().flatten(1).sum(1).argsort(descending=True, stable=True)


@dataclass(frozen=True)
class Inversion:
    """Codes `z` [n, latent] that were found for images, and the mean squared `error` [n] of a pixel of image(z)."""

    z: Tensor
    error: Tensor


def invert(
    model: DecodingModel,
    x: Tensor,
    steps: int,
    lr: float = 0.1,
    seed: int = 0,
    y: Tensor | None = None,
    on_step: Callable[[int], None] = lambda step: None,
) -> Inversion:
    """An encoder by optimisation, for models without one: the likeliest code of each of the images x [n, C, H, W].

    Adam lowers ||x - image(z)||^2 / (2 NOISE^2) + ||z||^2 / 2, the negative log posterior of a normal prior and normal
    pixels, from STARTS draws of the prior, its rate falling to 0; the best of them counts (after Creswell and Bharath
    2016, "Inverting the generator of a generative adversarial network"). `hear` is told of every step that begins.
    """
    n, size = len(x), prod(x.shape[1:])
    first = torch.randn(NUM_STARTS, n, model.latent, generator=seeded_generator(seed, "invert")).flatten(0, 1)
    z = first.to(x.device).requires_grad_()
    aim, classes = x.repeat(NUM_STARTS, 1, 1, 1), () if y is None else (y.repeat(NUM_STARTS),)

    def errors() -> Tensor:
        return (model.decode_image(z, *classes).float() - aim).square().flatten(1).sum(1)

    def posterior(error: Tensor) -> Tensor:
        return error / (2 * PIXEL_STD**2) + z.square().sum(1) / 2

    optimizer = torch.optim.Adam([z], lr)
    for step in range(steps):
        on_step(step)
        (z.grad,) = torch.autograd.grad(posterior(errors()).sum(), z)
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        optimizer.step()
    with torch.no_grad():
        error = errors()
        best = posterior(error).view(NUM_STARTS, n).argmin(0) * n + torch.arange(n, device=x.device)
        return Inversion(z.detach()[best], error[best] / size)
