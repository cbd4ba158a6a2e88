"""Latent-space tools for any model with `decode_image(z)`, and with `encode_mean(x)` where it encodes.

Codes are tensors [n, latent]. A conditional model needs the classes `y` int64 [n] as well.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, cast

import torch
from torch import Tensor

from genlib.data.images import Images, to_float
from genlib.data.random import seeded_generator
from genlib.models.layers.sampling import map_in_chunks

NUM_STARTS = 4  # starts of `invert` per image
PIXEL_STD = 0.1  # of a pixel in [-1, 1] given its code, in `invert`
InterpolationPath = Literal["linear", "spherical"]


class DecodingModel(Protocol):
    latent: int

    def decode_image(self, z: Tensor, *y: Tensor) -> Tensor: ...


class EncodingModel(DecodingModel, Protocol):
    def encode_mean(self, x: Tensor, *y: Tensor) -> Tensor: ...


def label_args(y: Tensor | None) -> tuple[Tensor, ...]:
    return () if y is None else (y,)


def decode_image(model: DecodingModel, z: Tensor, y: Tensor | None = None) -> Tensor:
    """Codes z -> images [n, C, H, W]."""
    return map_in_chunks(model.decode_image, z, *label_args(y)).float()


def encode_mean(model: EncodingModel, x: Tensor, y: Tensor | None = None) -> Tensor:
    return map_in_chunks(model.encode_mean, x, *label_args(y)).float()


def reconstruct(model: EncodingModel, x: Tensor, y: Tensor | None = None) -> Tensor:
    return decode_image(model, encode_mean(model, x, y), y)


def edit(
    model: EncodingModel, x: Tensor, shift: Tensor, y: Tensor | None = None, target_y: Tensor | None = None
) -> Tensor:
    """x with `shift` added to its code and, in a conditional model, with the class `target_y` in place of y."""
    return decode_image(model, encode_mean(model, x, y) + shift, y if target_y is None else target_y)


def interpolate(a: Tensor, b: Tensor, steps: int, path: InterpolationPath = "linear") -> Tensor:
    """Codes [n, steps, latent] from a to b, both included. Spherical: sin((1 - t) w) / sin w a + sin(t w) / sin w b, w
    the angle between them (Shoemake 1985), which keeps the length that codes of a normal prior have (White 2016);
    linear where a and b lie on one line through 0."""
    t, a, b = torch.linspace(0, 1, steps, device=a.device)[:, None], a[:, None], b[:, None]
    linear = (1 - t) * a + t * b
    if path == "linear":
        return linear
    angle = torch.cosine_similarity(a, b, dim=2).clamp(-1, 1).acos()[..., None]
    is_collinear = angle.sin() < 1e-3
    sine = torch.where(is_collinear, 1.0, angle.sin())
    arc = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / sine
    return torch.where(is_collinear, linear, arc)


def traverse(z: Tensor, axis: int, low: float, high: float, steps: int) -> Tensor:
    """Codes [n, steps, latent]: z with its coordinate `axis` set to `steps` values from low to high."""
    codes = z[:, None].repeat(1, steps, 1)
    codes[..., axis] = torch.linspace(low, high, steps, device=z.device)
    return codes


def prior_grid(model: DecodingModel, side: int, axes: tuple[int, int] = (0, 1)) -> Tensor:
    """Codes [side * side, latent] on a square grid over two axes, row by row, the others 0: the normal's quantiles at
    (i + 1/2) / side, so each has the same share of the prior (Kingma and Welling 2013, figure 4)."""
    values = torch.special.ndtri((torch.arange(side) + 0.5) / side)
    z = torch.zeros(side * side, model.latent)
    z[:, axes[0]], z[:, axes[1]] = values.repeat_interleave(side), values.repeat(side)
    return z


def sample_truncated_normal(n: int, latent: int, max_abs: float, seed: int) -> Tensor:
    """Codes [n, latent] of a standard normal within +- max_abs: less variety, more quality (Brock et al. 2019)."""
    mass = math.erf(max_abs / math.sqrt(2))  # of the normal, within
    u = torch.rand(n, latent, generator=seeded_generator(seed, "truncated"), dtype=torch.float64)
    return (math.sqrt(2) * torch.erfinv((2 * u - 1) * mass)).clamp(-max_abs, max_abs).float()


def attribute_vector(codes: Tensor, labels: Tensor, a: int, b: int | None = None) -> Tensor:
    """The vector [latent] of class a: the mean of its codes minus that of class b, or of all the rest."""
    rest = labels != a if b is None else labels == b
    return codes[labels == a].mean(0) - codes[rest].mean(0)


def most_sensitive_axes(model: DecodingModel, z: Tensor, y: Tensor | None = None) -> Tensor:
    """Axes int64 [latent] by the squared change of the image of z [1, latent] over +-1 along them, largest first."""
    step = torch.eye(model.latent, device=z.device)
    y = None if y is None else y.expand(model.latent)
    change = decode_image(model, z + step, y) - decode_image(model, z - step, y)
    return change.square().flatten(1).sum(1).argsort(descending=True, stable=True)


@dataclass(frozen=True)
class LatentSpace:
    """A model with a code for each of `images`, and the mean and deviation of codes over `train`. Where the model does
    not encode, the codes are draws of a standard normal, seeded by `seed` and `draw_name`."""

    model: Any
    images: Images
    train: Images
    seed: int
    draw_name: str = "explore"

    @property
    def is_conditional(self) -> bool:
        return bool(getattr(self.model, "conditional", False))

    @property
    def has_encoder(self) -> bool:
        return hasattr(self.model, "encode_mean")

    @cached_property
    def device(self) -> torch.device:
        return cast(torch.device, next(self.model.parameters()).device)

    @cached_property
    def x(self) -> Tensor:
        return to_float(self.images.pixels.to(self.device))

    @cached_property
    def y(self) -> Tensor | None:
        return self._labels(self.images)

    @cached_property
    def z(self) -> Tensor:
        if self.has_encoder:
            return encode_mean(self.model, self.x, self.y)
        generator = seeded_generator(self.seed, self.draw_name)
        return torch.randn(len(self.images), self.model.latent, generator=generator).to(self.device)

    @cached_property
    def train_codes(self) -> Tensor:
        return encode_mean(self.model, to_float(self.train.pixels.to(self.device)), self._labels(self.train))

    @cached_property
    def mean(self) -> Tensor:
        return self.train_codes.mean(0) if self.has_encoder else torch.zeros_like(self.z[0])

    @cached_property
    def std(self) -> Tensor:
        return self.train_codes.std(0).clamp(min=1e-6) if self.has_encoder else torch.ones_like(self.z[0])

    @cached_property
    def axes(self) -> list[int]:
        return most_sensitive_axes(self.model, self.z[:1], self.first_labels(1)).tolist()

    def first_labels(self, n: int) -> Tensor | None:
        """The class of the first image n times, for a conditional model."""
        return None if self.y is None else self.y[:1].expand(n)

    def traverse(self, axes: list[int], reach: float, steps: int) -> Tensor:
        """Images [axes * steps, C, H, W]: the first code with one coordinate changed, within `reach` deviations."""
        start = (self.z[:1] - self.mean) / self.std
        lines = torch.cat([traverse(start, axis, -reach, reach, steps) for axis in axes])
        z = (self.mean + self.std * lines).flatten(0, 1)
        return decode_image(self.model, z, self.first_labels(len(z)))

    def _labels(self, images: Images) -> Tensor | None:
        return images.labels.to(self.device) if self.is_conditional and images.labels is not None else None


@dataclass(frozen=True)
class Inversion:
    """Codes `z` [n, latent] of images, and the mean squared `error` [n] of the pixels of their reconstructions."""

    z: Tensor
    error: Tensor


def invert(
    model: DecodingModel,
    x: Tensor,
    steps: int,
    lr: float = 0.1,
    seed: int = 0,
    y: Tensor | None = None,
    track: Callable[[range], Iterable[int]] = iter,
) -> Inversion:
    """The most probable code of each of the images x [n, C, H, W], for models that do not encode (after Creswell and
    Bharath 2016): Adam minimises ||x - image(z)||^2 / (2 PIXEL_STD^2) + ||z||^2 / 2 from NUM_STARTS draws of the prior,
    with a rate that falls linearly to 0; the best result counts. `track` wraps the steps to print progress."""
    n, size = len(x), math.prod(x.shape[1:])
    first = torch.randn(NUM_STARTS, n, model.latent, generator=seeded_generator(seed, "invert")).flatten(0, 1)
    z = first.to(x.device).requires_grad_()
    target, labels = x.repeat(NUM_STARTS, 1, 1, 1), label_args(None if y is None else y.repeat(NUM_STARTS))

    def squared_error() -> Tensor:
        return (model.decode_image(z, *labels).float() - target).square().flatten(1).sum(1)

    def neg_log_posterior(error: Tensor) -> Tensor:
        return error / (2 * PIXEL_STD**2) + z.square().sum(1) / 2

    optimizer = torch.optim.Adam([z], lr)
    for step in track(range(steps)):
        (z.grad,) = torch.autograd.grad(neg_log_posterior(squared_error()).sum(), z)
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        optimizer.step()
    with torch.no_grad():
        error = squared_error()
        best = neg_log_posterior(error).view(NUM_STARTS, n).argmin(0) * n + torch.arange(n, device=x.device)
        return Inversion(z.detach()[best], error[best] / size)
