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

from genlib import latent as explore
from genlib.data.batches import seeded
from genlib.data.images import to_float, to_pixels
from genlib.data.png import write_png
from genlib.figures.latent import on_model, pairs, told, ways
from genlib.metrics.authenticity import closeness
from genlib.metrics.inputs import Evidence
from genlib.metrics.registry import capabilities
from genlib.metrics.stats.neighbours import nearest

SAMPLES, TRAIN, ALIKE = 64, 4, 3  # rows of the samples, and what stands in each beside the sample
WALKS, STEPS, REACH = 6, 17, 2.5  # rows and frames of a walk, and how far from its middle it goes, in spreads
CODED = 500  # training images whose codes are looked at
SIDE = 64  # pixels of an image on a sheet, at the most


def write_sheets(evidence: Evidence, folder: Path) -> list[Path]:
    """Every sheet this evidence allows, in `folder`; the pictures written."""
    return list(_written(evidence, folder))


def _written(evidence: Evidence, folder: Path) -> Iterator[Path]:
    if evidence.n > 1 and evidence.train.given and len(evidence.train) > 1:
        yield _write(*neighbours(evidence), folder / "neighbours.png")
    if hasattr(evidence.model, "image"):
        yield _write(*between(evidence), folder / "between.png")
        yield _write(*axes(evidence), folder / "axes.png")


def neighbours(evidence: Evidence) -> tuple[Tensor, dict[str, Any]]:
    """A row a sample, as they came: it, the training images nearest to it, and the other samples nearest to it.

    `distances` are the judge's, in units of the spacing of its nearest training image (see `Closeness`).
    """
    made, train = evidence.made[:SAMPLES], evidence.train
    spacing = closeness(replace(evidence, fake=made)).spacing[:, None].clamp(min=1e-12)
    near, star = nearest(made.features, train.features, min(TRAIN, len(train)))
    alike, twin = nearest(
        made.features, evidence.made.features, min(ALIKE, evidence.n - 1), skip=torch.arange(len(made))
    )
    rows = [made.pixels[:, None], train.pixels[star], evidence.made.pixels[twin]]
    distances = (torch.cat([near, alike], 1) / spacing).tolist()
    says = {
        "train": star.shape[1],
        "alike": twin.shape[1],
        "distances": [[round(d, 3) for d in row] for row in distances],
    }
    return torch.cat(rows, 1), says


def between(evidence: Evidence) -> tuple[Tensor, dict[str, Any]]:
    """A row a way from one code to another: of two test images, or of two draws for a model that does not encode."""
    ends = pairs(evidence, WALKS)
    images = to_pixels(ways(evidence, ends, STEPS)).cpu()
    of = "codes of two test images" if "encodes" in capabilities(evidence.model) else "two draws"
    return images.view(len(ends), STEPS, *images.shape[1:]), {"of": of}


def axes(evidence: Evidence) -> tuple[Tensor, dict[str, Any]]:
    """A row an axis, the liveliest first: one code with that coordinate REACH spreads below its mean to as many above.

    Mean and spread are those of the codes of training images, or of a standard normal.
    """
    model: Any = evidence.model
    z, mean, spread, y = _start(evidence)
    chosen = explore.liveliest(model, z, y)[:WALKS].tolist()
    lines = [explore.traverse((z - mean) / spread, axis, -REACH, REACH, STEPS) for axis in chosen]
    codes = mean + spread * torch.cat(lines)
    many = None if y is None else y.expand(len(chosen) * STEPS)
    images = to_pixels(explore.image(model, codes.flatten(0, 1), many)).cpu()
    return images.view(len(chosen), STEPS, *images.shape[1:]), {"axes": chosen, "reach": REACH}


def _start(evidence: Evidence) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """One code [1, latent], the mean and spread of codes [latent], and the class where the model is told one."""
    model: Any = evidence.model
    y = told(evidence, slice(0, 1))
    device = next(model.parameters()).device
    if "encodes" not in capabilities(model):
        z = torch.randn(1, model.latent, generator=seeded(evidence.seed, "axes")).to(device)
        return z, torch.zeros_like(z[0]), torch.ones_like(z[0]), y
    known = evidence.train[:CODED]
    labels = None if y is None or known.labels is None else known.labels.to(device)
    codes = explore.code(model, to_float(known.pixels.to(device)), labels)
    return explore.code(model, on_model(evidence, slice(0, 1)), y), codes.mean(0), codes.std(0).clamp(min=1e-6), y


def _write(images: Tensor, says: dict[str, Any], path: Path) -> Path:
    """uint8 [rows, columns, C, H, W] as one picture, and beside it what they are."""
    rows, columns = images.shape[:2]
    cells = _small(images.flatten(0, 1))
    path.parent.mkdir(parents=True, exist_ok=True)
    channels, height, width = cells.shape[1:]
    picture = cells.view(rows, columns, channels, height, width).permute(2, 0, 3, 1, 4)
    write_png(picture.reshape(channels, rows * height, columns * width), path)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"rows": rows, "columns": columns, **says}) + "\n", encoding="utf-8")
    partial.replace(path.with_suffix(".json"))
    return path


def _small(pixels: Tensor) -> Tensor:
    """uint8 [N, C, H, W] brought down to SIDE pixels a side."""
    if max(pixels.shape[2:]) <= SIDE:
        return pixels
    from torch.nn.functional import interpolate

    shrink = SIDE / max(pixels.shape[2:])
    return interpolate(pixels.float(), scale_factor=shrink, mode="area").round().to(torch.uint8)
