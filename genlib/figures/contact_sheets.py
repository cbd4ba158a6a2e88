"""What a reader turns over on the page: samples with what lies near them, and walks through the codes frame by frame.

A sheet is images side by side in rows, pixel for pixel, in a PNG file with nothing between them; the JSON file beside
it says what they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genlib.data.images import Images, to_pixels
from genlib.data.png import write_png
from genlib.figures.latent import decode_interpolations, select_endpoints
from genlib.files import write_text
from genlib.latent import LatentSpace
from genlib.metrics.authenticity import nearest_training
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import model_capabilities
from genlib.metrics.stats.neighbours import nearest

NUM_SAMPLES, NUM_TRAIN, NUM_SIMILAR = 64, 4, 3  # rows of the samples, and what stands in each beside the sample
NUM_PATHS, NUM_STEPS = 6, 17  # rows and frames of a path through the codes
REACH_STD = 2.5  # deviations from the mean to either end of a traversal
MAX_ENCODED_IMAGES = 500  # training images that are encoded
MAX_SIDE = 64  # pixels of an image on a sheet, at the most


def write_contact_sheets(inputs: MetricInputs, folder: Path) -> list[Path]:
    """Every sheet this evidence allows, in `folder`; the pictures written."""
    return list(_iter_sheets(inputs, folder))


def _iter_sheets(inputs: MetricInputs, folder: Path) -> Iterator[Path]:
    if inputs.n > 1 and inputs.train.is_available and len(inputs.train) > 1:
        yield _write_sheet(*sample_neighbours(inputs), folder / "neighbours.png")
    if hasattr(inputs.model, "decode_image"):
        yield _write_sheet(*interpolations(inputs), folder / "between.png")
        yield _write_sheet(*traversals(inputs), folder / "axes.png")


def sample_neighbours(inputs: MetricInputs) -> tuple[Tensor, dict[str, Any]]:
    """A row a sample, as they came: it, the training images nearest to it, and the other samples nearest to it.

    `distances` are the judge's, in units of the spacing of its nearest training image (see `Closeness`).
    """
    made, train = inputs.generated[:NUM_SAMPLES], inputs.train
    spacing = nearest_training(replace(inputs, samples=made)).spacing[:, None].clamp(min=1e-12)
    near, star = nearest(made.features, train.features, min(NUM_TRAIN, len(train)))
    alike, twin = nearest(
        made.features, inputs.generated.features, min(NUM_SIMILAR, inputs.n - 1), skip=torch.arange(len(made))
    )
    rows = [made.pixels[:, None], train.pixels[star], inputs.generated.pixels[twin]]
    distances = (torch.cat([near, alike], 1) / spacing).tolist()
    says = {
        "train": star.shape[1],
        "alike": twin.shape[1],
        "distances": [[round(d, 3) for d in row] for row in distances],
    }
    return torch.cat(rows, 1), says


def interpolations(inputs: MetricInputs) -> tuple[Tensor, dict[str, Any]]:
    """A row a way from one code to another: of two test images, or of two draws for a model that does not encode."""
    ends = select_endpoints(inputs, NUM_PATHS)
    images = to_pixels(decode_interpolations(inputs, ends, NUM_STEPS)).cpu()
    of = "codes of two test images" if "encodes" in model_capabilities(inputs.model) else "two draws"
    return images.view(len(ends), NUM_STEPS, *images.shape[1:]), {"of": of}


def traversals(inputs: MetricInputs) -> tuple[Tensor, dict[str, Any]]:
    """A row per axis, the most sensitive first: one code with that coordinate from REACH_STD deviations below its mean
    to as many above.

    Mean and deviation are those of the codes of training images, or of a standard normal.
    """
    test, train = (Images(part.pixels, part.labels) for part in (inputs.test[:1], inputs.train[:MAX_ENCODED_IMAGES]))
    space = LatentSpace(inputs.model, test, train, inputs.seed, draw_name="axes")
    axes = space.axes[:NUM_PATHS]
    images = to_pixels(space.traverse(axes, REACH_STD, NUM_STEPS)).cpu()
    return images.view(len(axes), NUM_STEPS, *images.shape[1:]), {"axes": axes, "reach": REACH_STD}


def _write_sheet(images: Tensor, metadata: dict[str, Any], path: Path) -> Path:
    """uint8 [rows, columns, C, H, W] as one picture, and beside it what they are."""
    rows, columns = images.shape[:2]
    cells = _shrink(images.flatten(0, 1))
    channels, height, width = cells.shape[1:]
    picture = cells.view(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    write_png(picture.reshape(channels, rows * height, columns * width), path)
    write_text(json.dumps({"rows": rows, "columns": columns, **metadata}) + "\n", path.with_suffix(".json"))
    return path


def _shrink(pixels: Tensor) -> Tensor:
    """uint8 [N, C, H, W] brought down to SIDE pixels a side."""
    if max(pixels.shape[2:]) <= MAX_SIDE:
        return pixels
    from torch.nn.functional import interpolate

    shrink = MAX_SIDE / max(pixels.shape[2:])
    return interpolate(pixels.float(), scale_factor=shrink, mode="area").round().to(torch.uint8)
