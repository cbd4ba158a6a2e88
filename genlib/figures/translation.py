"""The picture of a translator: there and back, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch

from genlib.data.images import to_pixels
from genlib.figures.evaluation import plot_sample_grid
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.translation import TranslationDirection

COLUMNS = 16
TITLE = "Test images of A, translated to B and back; below, of B to A and back"


def plot_translations(inputs: Mapping[str, MetricInputs], path: Path) -> Path:
    """Three rows for each way: the source, its translation, and that one's translation back."""
    rows = [row for each in inputs.values() for row in _direction_rows(cast(TranslationDirection, each.model))]
    return plot_sample_grid(torch.cat(rows).cpu(), path, columns=len(rows[0]), rows=len(rows), title=TITLE)


def _direction_rows(direction: TranslationDirection) -> list[torch.Tensor]:
    way = TranslationDirection(direction.translator, direction.to, direction.source[:COLUMNS])
    return [way.source.pixels, to_pixels(way.translate()), to_pixels(way.translate_back())]
