"""What `genlib explore` draws: each public function is a tool, a sheet of images from a subject.

Where a model encodes, a unit of its codes is their spread over training images, about their mean; elsewhere codes are
those of a standard normal.
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from genlib import latent as explore
from genlib.data.batches import seeded_generator
from genlib.data.images import Images, to_float

MAX_TRAIN_CODES = 1000  # training images whose codes are looked at, at the most
NUM_STEPS = 9
TRAVERSE_RANGE = 2.5  # of a traverse, in units
MANIFOLD_SIDE = 15  # images along a side of the manifold
STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
INVERSION_STEPS = 200  # steps of an inversion
PRINT_INTERVAL_S = 3.0  # seconds between two lines of progress


class Unsupported(Exception):
    """What a tool needs and the subject does not have."""


@dataclass(frozen=True)
class ImageGrid:
    """Images [n, C, H, W] in [-1, 1] to be laid out in `columns`, what they show, and tensors worth keeping."""

    images: Tensor
    columns: int
    caption: str
    tensors: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class LatentSpace:
    """A model, held-out images to look at it with, and training images for the place and spread of its codes."""

    model: Any
    held_out: Images
    train: Images
    seed: int

    @property
    def is_conditional(self) -> bool:
        return bool(getattr(self.model, "conditional", False))

    @property
    def has_encoder(self) -> bool:
        return hasattr(self.model, "encode_mean")

    @cached_property
    def x(self) -> Tensor:
        return to_float(self.held_out.pixels)

    @cached_property
    def y(self) -> Tensor | None:
        """The classes of the held-out images, for a model that asks for them."""
        return self.held_out.labels if self.is_conditional else None

    @cached_property
    def train_codes(self) -> Tensor:
        """The codes of training images."""
        y = self.train.labels if self.is_conditional else None
        return explore.encode_mean(self.model, to_float(self.train.pixels), y)

    @cached_property
    def z(self) -> Tensor:
        """A code for each held-out image: its own, or a draw from the prior where the model does not encode."""
        if self.has_encoder:
            return explore.encode_mean(self.model, self.x, self.y)
        return torch.randn(len(self.x), self.model.latent, generator=seeded_generator(self.seed, "explore"))

    @cached_property
    def mean(self) -> Tensor:
        return self.train_codes.mean(0) if self.has_encoder else torch.zeros(self.model.latent)

    @cached_property
    def std(self) -> Tensor:
        return self.train_codes.std(0) if self.has_encoder else torch.ones(self.model.latent)

    @cached_property
    def first_y(self) -> Tensor | None:
        """The class of the first held-out image [1], for a model that asks for one."""
        return None if self.y is None else self.y[:1]

    @cached_property
    def axes(self) -> list[int]:
        """Axes of the code, the liveliest first."""
        found: list[int] = explore.most_sensitive_axes(self.model, self.z[:1], self.first_y).tolist()
        return found

    def decode_rows(self, z: Tensor, y: Tensor | None) -> Tensor:
        """The images of z [rows, columns, latent], each row of one class y [rows], one after the other."""
        classes = None if y is None else y.repeat_interleave(z.shape[1])
        return explore.decode_image(self.model, z.flatten(0, 1), classes)

    def require_encoder(self) -> None:
        if not self.has_encoder:
            raise Unsupported("the model does not encode")

    def require_labels(self) -> Tensor:
        if self.held_out.labels is None or self.train.labels is None:
            raise Unsupported("the data have no labels")
        return self.train.labels


def reconstruct(space: LatentSpace) -> ImageGrid:
    """Images and what their codes give back."""
    space.require_encoder()
    again = explore.decode_image(space.model, space.z, space.y)
    error = float((again - space.x).square().mean())
    says = f"{len(again)} held-out images, below each what its code gives back; mean squared error {error:.3g}"
    return ImageGrid(torch.cat([space.x, again]), len(again), says, {"code": space.z})


def interpolate(space: LatentSpace) -> ImageGrid:
    """Straight and spherical ways between codes."""
    ends = space.z, space.z.roll(-1, 0)
    straight, arc = (explore.interpolate(*ends, NUM_STEPS, how) for how in ("linear", "spherical"))
    both = torch.stack([straight, arc], 1).flatten(0, 1)
    y = None if space.y is None else space.y.repeat_interleave(2)
    says = f"{len(straight)} ways from one code to another, each first straight, below it along the sphere"
    return ImageGrid(space.decode_rows(both, y), NUM_STEPS, says)


def traverse(space: LatentSpace) -> ImageGrid:
    """One code with one coordinate changed."""
    axes = space.axes[: len(space.z)]
    start = (space.z[:1] - space.mean) / space.std.clamp(min=1e-6)
    lines = torch.cat([explore.traverse(start, axis, -TRAVERSE_RANGE, TRAVERSE_RANGE, NUM_STEPS) for axis in axes])
    z = space.mean + space.std * lines
    y = None if space.first_y is None else space.first_y.expand(len(axes))
    says = f"one code, each row one of its coordinates ({', '.join(map(str, axes))}) from -{TRAVERSE_RANGE} to {TRAVERSE_RANGE} units"
    return ImageGrid(space.decode_rows(z, y), NUM_STEPS, says)


def manifold(space: LatentSpace) -> ImageGrid:
    """The plane of the two liveliest axes."""
    if space.model.latent < 2:
        raise Unsupported("the model has one code axis, a plane has two")
    down, across = space.axes[:2]
    z = space.mean + space.std * explore.prior_grid(space.model, MANIFOLD_SIDE, (down, across))
    y = None if space.first_y is None else space.first_y.expand(len(z))
    says = f"the plane of coordinates {down} (down) and {across} (across), each image of the same share of the prior"
    return ImageGrid(explore.decode_image(space.model, z, y), MANIFOLD_SIDE, says)


def attribute(space: LatentSpace) -> ImageGrid:
    """The vector of each class, added to the mean code."""
    space.require_encoder()
    labels = space.require_labels()
    if space.is_conditional:
        raise Unsupported("the model is given the class, its codes do not tell it")
    present = sorted(set(labels.tolist()))
    vectors = torch.stack([explore.attribute_vector(space.train_codes, labels, label) for label in present])
    z = space.mean + torch.tensor(STRENGTHS)[:, None] * vectors[:, None]
    says = f"the mean code with {STRENGTHS[0]} to {STRENGTHS[-1]} times the vector of a class, a row each"
    return ImageGrid(
        space.decode_rows(z, None), len(STRENGTHS), says, {"vector": vectors, "label": torch.tensor(present)}
    )


def edit(space: LatentSpace) -> ImageGrid:
    """Images with their class exchanged."""
    space.require_encoder()
    labels, own = space.require_labels(), space.held_out.labels
    assert own is not None
    columns = [space.x]
    for to in sorted(set(labels.tolist())):
        if space.is_conditional:
            still = torch.zeros(space.model.latent)
            columns.append(explore.edit(space.model, space.x, still, space.y, torch.full_like(own, to)))
        else:
            change = [explore.attribute_vector(space.train_codes, labels, to, label) for label in own.tolist()]
            columns.append(explore.edit(space.model, space.x, torch.stack(change)))
    how = (
        "its code in each class" if space.is_conditional else "its code with its class's mean exchanged for each other"
    )
    says = f"held-out images, right of each {how}"
    return ImageGrid(torch.stack(columns, 1).flatten(0, 1), len(columns), says)


def invert(space: LatentSpace) -> ImageGrid:
    """Images and those nearest to them that the model can make."""
    if space.has_encoder:
        raise Unsupported("the model encodes")
    clock = StepPrinter("invert", INVERSION_STEPS)
    found = explore.invert(space.model, space.x, INVERSION_STEPS, seed=space.seed, y=space.y, on_step=clock)
    again = explore.decode_image(space.model, found.z, space.y)
    error = float(found.error.mean())
    says = f"{len(again)} held-out images, below each the nearest the model makes; mean squared error {error:.3g}"
    return ImageGrid(torch.cat([space.x, again]), len(again), says, {"code": found.z, "error": found.error})


class StepPrinter:
    """Says now and then how far a search has come."""

    def __init__(self, title: str, steps: int) -> None:
        self.title, self.steps, self.last_printed = title, steps, time.monotonic()

    def __call__(self, step: int) -> None:
        if time.monotonic() - self.last_printed >= PRINT_INTERVAL_S:
            self.last_printed = time.monotonic()
            print(f"{self.title}: step {step} of {self.steps}", file=sys.stderr, flush=True)


def tools() -> dict[str, Callable[[LatentSpace], ImageGrid]]:
    """The tools by name, as they stand in this file."""
    functions = inspect.getmembers(sys.modules[__name__], inspect.isfunction)
    own = [
        f for name, f in functions if f.__module__ == __name__ and list(inspect.signature(f).parameters) == ["space"]
    ]
    return {f.__name__: f for f in sorted(own, key=lambda f: f.__code__.co_firstlineno)}
