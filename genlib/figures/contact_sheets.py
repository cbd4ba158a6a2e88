"""Contact sheets for the interactive page: samples with neighbours, interpolations, traversals.

A sheet is a PNG file of rows of images without gaps; the JSON file beside it describes them.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from genlib.data.images import to_pixels, write_png
from genlib.figures.latent import MAX_ENCODED_IMAGES, decode_interpolations, select_endpoints
from genlib.files import write_text
from genlib.latent import LatentSpace
from genlib.metrics.authenticity import nearest_training
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.stats.neighbours import nearest

NUM_SAMPLES, NUM_TRAIN, NUM_SIMILAR = 64, 4, 3  # rows of the samples, and the neighbours of each
NUM_PATHS, NUM_STEPS, REACH_STD = 6, 17, 2.5  # rows and columns of walks, and their reach from the mean code
MAX_SIDE = 64  # pixels of an image on a sheet


def write_contact_sheets(inputs: MetricInputs, folder: Path) -> list[Path]:
    """Every sheet that `inputs` allow; returns the paths of the PNG files."""
    sheets = {}
    if inputs.n > 1 and inputs.train.is_available and len(inputs.train) > 1:
        sheets["neighbours"] = sample_neighbours(inputs)
    if hasattr(inputs.model, "decode_image"):
        sheets |= {"between": interpolations(inputs), "axes": traversals(inputs)}
    return [_write_sheet(*sheet, folder / f"{name}.png") for name, sheet in sheets.items()]


def sample_neighbours(inputs: MetricInputs) -> tuple[Tensor, dict[str, Any]]:
    """A row for each of the first samples: itself, its nearest training images, its nearest other samples. `distances`
    are in features, in units of the spacing of the nearest training image (see `NearestTraining`)."""
    samples, train = inputs.generated[:NUM_SAMPLES], inputs.train
    spacing = nearest_training(samples.features, train.features).spacing[:, None].clamp(min=1e-12)
    train_distance, train_index = nearest(samples.features, train.features, min(NUM_TRAIN, len(train)))
    num_similar, own = min(NUM_SIMILAR, inputs.n - 1), torch.arange(len(samples))
    distance, index = nearest(samples.features, inputs.generated.features, num_similar, skip=own)
    images = torch.cat([samples.pixels[:][:, None], train.pixels[train_index], inputs.generated.pixels[index]], 1)
    distances = (torch.cat([train_distance, distance], 1) / spacing).tolist()
    rounded = [[round(d, 3) for d in row] for row in distances]
    return images, {"train": train_index.shape[1], "alike": index.shape[1], "distances": rounded}


def interpolations(inputs: MetricInputs) -> tuple[Tensor, dict[str, Any]]:
    """A row for each path, between the codes of two test images, or two draws for a model that does not encode."""
    ends = select_endpoints(inputs, NUM_PATHS)
    images = to_pixels(decode_interpolations(inputs, ends, NUM_STEPS)).cpu()
    of = "codes of two test images" if hasattr(inputs.model, "encode_mean") else "two draws"
    return images.view(len(ends), NUM_STEPS, *images.shape[1:]), {"of": of}


def traversals(inputs: MetricInputs) -> tuple[Tensor, dict[str, Any]]:
    """A row for each axis, the most sensitive first: one code with that coordinate within REACH_STD deviations."""
    train = inputs.train[:MAX_ENCODED_IMAGES].images.read()
    space = LatentSpace(inputs.model, inputs.test[:1].images.read(), train, inputs.seed, "axes")
    axes = space.axes[:NUM_PATHS]
    images = to_pixels(space.traverse(axes, REACH_STD, NUM_STEPS)).cpu()
    return images.view(len(axes), NUM_STEPS, *images.shape[1:]), {"axes": axes, "reach": REACH_STD}


def _write_sheet(images: Tensor, about: dict[str, Any], path: Path) -> Path:
    """Write uint8 [rows, columns, C, H, W] and what they are."""
    rows, columns = images.shape[:2]
    cells = _shrink(images.flatten(0, 1))
    cells = cells.view(rows, columns, *cells.shape[1:])
    write_png(cells.permute(2, 0, 3, 1, 4).flatten(3).flatten(1, 2), path)
    write_text(json.dumps({"rows": rows, "columns": columns, **about}) + "\n", path.with_suffix(".json"))
    return path


def _shrink(pixels: Tensor) -> Tensor:
    """Uint8 [N, C, H, W] with at most MAX_SIDE pixels a side."""
    factor = MAX_SIDE / max(pixels.shape[2:])
    return pixels if factor >= 1 else interpolate(pixels.float(), scale_factor=factor, mode="area").round().byte()
