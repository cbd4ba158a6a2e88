"""`genlib sample`: images of a trained model, as one grid, as files, or as an array."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genlib import latent
from genlib.data.images import to_pixels, write_grid, write_png
from genlib.errors import InputError
from genlib.files import atomic_path, make_folder, require_writable
from genlib.progress import track_progress
from genlib.registry import load

DEFAULT_OUT = Path("runs/samples")
MAX_GRID_IMAGES = 1024


def sample(
    model: Path,
    count: int,
    seed: int,
    labels: str | None,
    truncation: float | None,
    out: Path | None,
    png_folder: Path | None,
    npz: Path | None,
) -> None:
    """Draw images from a trained model."""
    if count < 1:
        raise InputError(f"--count: got {count}, expected a whole number of at least 1")
    if truncation is not None and not 0 < truncation < math.inf:
        raise InputError(f"--truncation: got {truncation:g}, expected a number above 0, in standard deviations")
    requested = None if labels is None else parse_labels(labels)
    grid = out or (None if png_folder or npz else DEFAULT_OUT / f"{model.resolve().name}.png")
    if grid and count > MAX_GRID_IMAGES:
        expected = f"expected up to {MAX_GRID_IMAGES} on a grid, more with --png-folder or --npz"
        raise InputError(f"--count: got {count}, {expected}")
    for option, file in (("--out", grid), ("--npz", npz)):
        if file:
            require_writable(file, option)

    network = load(model)
    y = _cycle_labels(model, network, count, requested)
    pixels = to_pixels(_draw_images(model, network, count, seed, y, truncation))
    if grid:
        write_grid(pixels, grid, len(requested) if requested and 1 < len(requested) <= count else None)
        print(f"{grid}: {count} images")
    if png_folder:
        folder = make_folder(png_folder, "--png-folder")
        for index, image in enumerate(track_progress(pixels, "writing images")):
            # The images of a conditional model lie in a folder for each class, as `genlib evaluate` reads them.
            target = folder if y is None else make_folder(folder / str(int(y[index])), "--png-folder")
            write_png(image, target / f"{index:06d}.png")
        print(f"{png_folder}: {count} images")
    if npz:
        arrays = {"images": pixels.numpy()} | ({} if y is None else {"labels": y.numpy()})
        with atomic_path(npz) as partial, partial.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
        print(f"{npz}: images uint8 {list(pixels.shape)}{', labels' if y is not None else ''}")


def parse_labels(text: str) -> list[int]:
    """ "0,3-5" -> [0, 3, 4, 5]."""
    labels: list[int] = []
    for part in text.split(","):
        ends = re.fullmatch(r"(\d{1,6})(?:-(\d{1,6}))?", part.strip())
        classes = range(int(ends[1]), int(ends[2] or ends[1]) + 1) if ends else ()
        if not classes:
            raise InputError(f"--labels: got {part!r}, expected classes as in 7 or 0,1,2 or 0-9")
        labels += classes
    return labels


def _cycle_labels(folder: Path, network: Any, count: int, labels: Sequence[int] | None) -> Tensor | None:
    """The class of each image: `labels` in turn, or all classes in turn; None where the model is unconditional."""
    if not getattr(network, "conditional", False):
        if labels is not None:
            raise InputError(f"--labels: got that {folder} is asked for no classes, expected a conditional model")
        return None
    cycle = torch.tensor(labels or range(network.classes))
    if cycle.max() >= network.classes:
        raise InputError(f"--labels: got {int(cycle.max())}, expected 0 to {network.classes - 1}")
    return cycle[torch.arange(count) % len(cycle)]


def _draw_images(
    folder: Path, network: Any, count: int, seed: int, y: Tensor | None, truncation: float | None
) -> Tensor:
    if not hasattr(network, "sample"):
        raise InputError(f"{folder}: got a model that makes no images, expected one with sample(n)")
    if truncation is None:
        images: Tensor = network.sample(count, seed=seed, **({} if y is None else {"y": y}))
        return images
    if not hasattr(network, "decode_image") or hasattr(network, "mixture"):
        expected = "expected a model whose prior is normal"
        raise InputError(f"--truncation: got that {folder} draws no normal codes, {expected}")
    return latent.decode_image(network, latent.sample_truncated_normal(count, network.latent, truncation, seed), y)
