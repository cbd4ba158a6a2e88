"""The picture of a translator: there and back, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch

from genlib.data.images import to_pixels
from genlib.figures.evaluation import sample_grid
from genlib.metrics.inputs import Evidence
from genlib.metrics.translation import Direction

COLUMNS = 16
TITLE = "Test images of A, translated to B and back; below, of B to A and back"


def translations(evidence: Mapping[str, Evidence], path: Path) -> Path:
    """Three rows for each way: the source, its translation, and that one's translation back."""
    rows = [row for each in evidence.values() for row in _rows(cast(Direction, each.model))]
    return sample_grid(torch.cat(rows).cpu(), path, columns=len(rows[0]), rows=len(rows), title=TITLE)


def _rows(direction: Direction) -> list[torch.Tensor]:
    way = Direction(direction.translator, direction.to, direction.source[:COLUMNS])
    return [way.source.pixels, to_pixels(way.translate()), to_pixels(way.back())]
