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
from genlib.data.batches import seeded
from genlib.data.images import Images, to_float

CODED = 1000  # training images whose codes are looked at, at the most
STEPS = 9
REACH = 2.5  # of a traverse, in units
SIDE = 15  # images along a side of the manifold
STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
SEARCH = 200  # steps of an inversion
EVERY = 3.0  # seconds between two lines of progress


class Lacking(Exception):
    """What a tool needs and the subject does not have."""


@dataclass(frozen=True)
class Sheet:
    """Images [n, C, H, W] in [-1, 1] to be laid out in `columns`, what they show, and tensors worth keeping."""

    images: Tensor
    columns: int
    says: str
    codes: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """A model, held-out images to look at it with, and training images for the place and spread of its codes."""

    model: Any
    held: Images
    train: Images
    seed: int

    @property
    def conditional(self) -> bool:
        return bool(getattr(self.model, "conditional", False))

    @property
    def encodes(self) -> bool:
        return hasattr(self.model, "code")

    @cached_property
    def x(self) -> Tensor:
        return to_float(self.held.pixels)

    @cached_property
    def y(self) -> Tensor | None:
        """The classes of the held-out images, for a model that asks for them."""
        return self.held.labels if self.conditional else None

    @cached_property
    def known(self) -> Tensor:
        """The codes of training images."""
        y = self.train.labels if self.conditional else None
        return explore.code(self.model, to_float(self.train.pixels), y)

    @cached_property
    def z(self) -> Tensor:
        """A code for each held-out image: its own, or a draw from the prior where the model does not encode."""
        if self.encodes:
            return explore.code(self.model, self.x, self.y)
        return torch.randn(len(self.x), self.model.latent, generator=seeded(self.seed, "explore"))

    @cached_property
    def centre(self) -> Tensor:
        return self.known.mean(0) if self.encodes else torch.zeros(self.model.latent)

    @cached_property
    def spread(self) -> Tensor:
        return self.known.std(0) if self.encodes else torch.ones(self.model.latent)

    @cached_property
    def first(self) -> Tensor | None:
        """The class of the first held-out image [1], for a model that asks for one."""
        return None if self.y is None else self.y[:1]

    @cached_property
    def axes(self) -> list[int]:
        """Axes of the code, the liveliest first."""
        found: list[int] = explore.liveliest(self.model, self.z[:1], self.first).tolist()
        return found

    def rows(self, z: Tensor, y: Tensor | None) -> Tensor:
        """The images of z [rows, columns, latent], each row of one class y [rows], one after the other."""
        classes = None if y is None else y.repeat_interleave(z.shape[1])
        return explore.image(self.model, z.flatten(0, 1), classes)

    def need_code(self) -> None:
        if not self.encodes:
            raise Lacking("the model does not encode")

    def need_labels(self) -> Tensor:
        if self.held.labels is None or self.train.labels is None:
            raise Lacking("the data have no labels")
        return self.train.labels


def reconstruct(subject: Subject) -> Sheet:
    """Images and what their codes give back."""
    subject.need_code()
    again = explore.image(subject.model, subject.z, subject.y)
    error = float((again - subject.x).square().mean())
    says = f"{len(again)} held-out images, below each what its code gives back; mean squared error {error:.3g}"
    return Sheet(torch.cat([subject.x, again]), len(again), says, {"code": subject.z})


def interpolate(subject: Subject) -> Sheet:
    """Straight and spherical ways between codes."""
    ends = subject.z, subject.z.roll(-1, 0)
    straight, arc = (explore.interpolate(*ends, STEPS, how) for how in ("linear", "spherical"))
    both = torch.stack([straight, arc], 1).flatten(0, 1)
    y = None if subject.y is None else subject.y.repeat_interleave(2)
    says = f"{len(straight)} ways from one code to another, each first straight, below it along the sphere"
    return Sheet(subject.rows(both, y), STEPS, says)


def traverse(subject: Subject) -> Sheet:
    """One code with one coordinate changed."""
    axes = subject.axes[: len(subject.z)]
    start = (subject.z[:1] - subject.centre) / subject.spread.clamp(min=1e-6)
    lines = torch.cat([explore.traverse(start, axis, -REACH, REACH, STEPS) for axis in axes])
    z = subject.centre + subject.spread * lines
    y = None if subject.first is None else subject.first.expand(len(axes))
    says = f"one code, each row one of its coordinates ({', '.join(map(str, axes))}) from -{REACH} to {REACH} units"
    return Sheet(subject.rows(z, y), STEPS, says)


def manifold(subject: Subject) -> Sheet:
    """The plane of the two liveliest axes."""
    if subject.model.latent < 2:
        raise Lacking("the model has one code axis, a plane has two")
    down, across = subject.axes[:2]
    z = subject.centre + subject.spread * explore.manifold(subject.model, SIDE, (down, across))
    y = None if subject.first is None else subject.first.expand(len(z))
    says = f"the plane of coordinates {down} (down) and {across} (across), each image of the same share of the prior"
    return Sheet(explore.image(subject.model, z, y), SIDE, says)


def attribute(subject: Subject) -> Sheet:
    """The vector of each class, added to the mean code."""
    subject.need_code()
    labels = subject.need_labels()
    if subject.conditional:
        raise Lacking("the model is given the class, its codes do not tell it")
    present = sorted(set(labels.tolist()))
    vectors = torch.stack([explore.attribute(subject.known, labels, label) for label in present])
    z = subject.centre + torch.tensor(STRENGTHS)[:, None] * vectors[:, None]
    says = f"the mean code with {STRENGTHS[0]} to {STRENGTHS[-1]} times the vector of a class, a row each"
    return Sheet(subject.rows(z, None), len(STRENGTHS), says, {"vector": vectors, "label": torch.tensor(present)})


def edit(subject: Subject) -> Sheet:
    """Images with their class exchanged."""
    subject.need_code()
    labels, own = subject.need_labels(), subject.held.labels
    assert own is not None
    columns = [subject.x]
    for to in sorted(set(labels.tolist())):
        if subject.conditional:
            still = torch.zeros(subject.model.latent)
            columns.append(explore.edit(subject.model, subject.x, still, subject.y, torch.full_like(own, to)))
        else:
            change = [explore.attribute(subject.known, labels, to, label) for label in own.tolist()]
            columns.append(explore.edit(subject.model, subject.x, torch.stack(change)))
    how = "its code in each class" if subject.conditional else "its code with its class's mean exchanged for each other"
    says = f"held-out images, right of each {how}"
    return Sheet(torch.stack(columns, 1).flatten(0, 1), len(columns), says)


def invert(subject: Subject) -> Sheet:
    """Images and those nearest to them that the model can make."""
    if subject.encodes:
        raise Lacking("the model encodes")
    clock = Clock("invert", SEARCH)
    found = explore.invert(subject.model, subject.x, SEARCH, seed=subject.seed, y=subject.y, hear=clock)
    again = explore.image(subject.model, found.z, subject.y)
    error = float(found.error.mean())
    says = f"{len(again)} held-out images, below each the nearest the model makes; mean squared error {error:.3g}"
    return Sheet(torch.cat([subject.x, again]), len(again), says, {"code": found.z, "error": found.error})


class Clock:
    """Says now and then how far a search has come."""

    def __init__(self, title: str, steps: int) -> None:
        self.title, self.steps, self.spoke = title, steps, time.monotonic()

    def __call__(self, step: int) -> None:
        if time.monotonic() - self.spoke >= EVERY:
            self.spoke = time.monotonic()
            print(f"{self.title}: step {step} of {self.steps}", file=sys.stderr, flush=True)


def tools() -> dict[str, Callable[[Subject], Sheet]]:
    """The tools by name, as they stand in this file."""
    functions = inspect.getmembers(sys.modules[__name__], inspect.isfunction)
    own = [
        f for name, f in functions if f.__module__ == __name__ and list(inspect.signature(f).parameters) == ["subject"]
    ]
    return {f.__name__: f for f in sorted(own, key=lambda f: f.__code__.co_firstlineno)}
