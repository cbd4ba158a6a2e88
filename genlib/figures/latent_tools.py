"""The tools of `genlib explore`: each draws a grid of images from a latent space.

Where a model encodes, a unit of a code is the standard deviation over training images, about their mean; elsewhere
codes are those of a standard normal.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from genlib import latent
from genlib.latent import LatentSpace
from genlib.progress import track_progress

MAX_TRAIN_CODES = 1000  # training images that are encoded, at most
NUM_STEPS = 9
TRAVERSE_RANGE = 2.5  # units
MANIFOLD_SIDE = 15  # images
STRENGTHS = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
INVERSION_STEPS = 200


class Unsupported(Exception):
    """What a tool needs and the model or the data lack."""


class ImageGrid(NamedTuple):
    """Images [n, C, H, W] in [-1, 1], row by row in `columns`, their caption, and tensors to write beside them."""

    images: Tensor
    columns: int
    caption: str
    tensors: Mapping[str, Tensor] = {}


def decode_rows(space: LatentSpace, z: Tensor, y: Tensor | None) -> Tensor:
    """The images of z [rows, columns, latent], each row of one class y [rows], one after the other."""
    classes = None if y is None else y.repeat_interleave(z.shape[1])
    return latent.decode_image(space.model, z.flatten(0, 1), classes)


def require_encoder(space: LatentSpace) -> None:
    if not space.has_encoder:
        raise Unsupported("the model does not encode")


def require_labels(space: LatentSpace) -> tuple[Tensor, Tensor]:
    """Of the training images and of the images."""
    if space.train.labels is None or space.images.labels is None:
        raise Unsupported("the data have no labels")
    return space.train.labels, space.images.labels


def reconstruct(space: LatentSpace) -> ImageGrid:
    require_encoder(space)
    decoded = latent.decode_image(space.model, space.z, space.y)
    error = float((decoded - space.x).square().mean())
    caption = f"{len(decoded)} held-out images, below each its reconstruction; mean squared error {error:.3g}"
    return ImageGrid(torch.cat([space.x, decoded]), len(decoded), caption, {"code": space.z})


def interpolate(space: LatentSpace) -> ImageGrid:
    ends = space.z, space.z.roll(-1, 0)
    paths = [latent.interpolate(*ends, NUM_STEPS, path) for path in ("linear", "spherical")]
    y = None if space.y is None else space.y.repeat_interleave(2)
    caption = f"{len(space.z)} paths from one code to another, each first linear, below it spherical"
    return ImageGrid(decode_rows(space, torch.stack(paths, 1).flatten(0, 1), y), NUM_STEPS, caption)


def traverse(space: LatentSpace) -> ImageGrid:
    axes = space.axes[: len(space.z)]
    names = ", ".join(map(str, axes))
    caption = f"one code, each row one of its coordinates ({names}) from -{TRAVERSE_RANGE} to {TRAVERSE_RANGE} units"
    return ImageGrid(space.traverse(axes, TRAVERSE_RANGE, NUM_STEPS), NUM_STEPS, caption)


def manifold(space: LatentSpace) -> ImageGrid:
    if space.model.latent < 2:
        raise Unsupported("the model has one code axis, a plane has two")
    down, across = space.axes[:2]
    z = space.mean + space.std * latent.prior_grid(space.model, MANIFOLD_SIDE, (down, across))
    caption = f"the plane of coordinates {down} (down) and {across} (across), each image of the same share of the prior"
    return ImageGrid(latent.decode_image(space.model, z, space.first_labels(len(z))), MANIFOLD_SIDE, caption)


def attribute(space: LatentSpace) -> ImageGrid:
    require_encoder(space)
    labels, _ = require_labels(space)
    if space.is_conditional:
        raise Unsupported("the model is given the class, its codes do not tell it")
    present = torch.unique(labels)
    vectors = torch.stack([latent.attribute_vector(space.train_codes, labels, label) for label in present.tolist()])
    z = space.mean + torch.tensor(STRENGTHS)[:, None] * vectors[:, None]
    caption = f"the mean code with {STRENGTHS[0]} to {STRENGTHS[-1]} times the vector of a class, a row each"
    return ImageGrid(decode_rows(space, z, None), len(STRENGTHS), caption, {"vector": vectors, "label": present})


def edit(space: LatentSpace) -> ImageGrid:
    require_encoder(space)
    train_labels, labels = require_labels(space)
    columns = [space.x]
    for target in torch.unique(train_labels).tolist():
        if space.is_conditional:
            shift, target_y = torch.zeros(space.model.latent), torch.full_like(labels, target)
        else:
            vectors = [latent.attribute_vector(space.train_codes, train_labels, target, y) for y in labels.tolist()]
            shift, target_y = torch.stack(vectors), None
        columns.append(latent.edit(space.model, space.x, shift, space.y, target_y))
    how = "in each class" if space.is_conditional else "with its class's mean exchanged for each other"
    caption = f"held-out images, right of each its code {how}"
    return ImageGrid(torch.stack(columns, 1).flatten(0, 1), len(columns), caption)


def invert(space: LatentSpace) -> ImageGrid:
    if space.has_encoder:
        raise Unsupported("the model encodes")
    track = partial(track_progress, title="invert")
    found = latent.invert(space.model, space.x, INVERSION_STEPS, seed=space.seed, y=space.y, track=track)
    decoded = latent.decode_image(space.model, found.z, space.y)
    error = float(found.error.mean())
    caption = f"{len(decoded)} held-out images, below each the nearest generated; mean squared error {error:.3g}"
    tensors = {"code": found.z, "error": found.error}
    return ImageGrid(torch.cat([space.x, decoded]), len(decoded), caption, tensors)


TOOLS: dict[str, Callable[[LatentSpace], ImageGrid]] = {
    tool.__name__: tool for tool in (reconstruct, interpolate, traverse, manifold, attribute, edit, invert)
}
