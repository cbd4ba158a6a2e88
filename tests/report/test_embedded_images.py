"""Images inside the page: contact sheets pixel for pixel, all others small."""

from __future__ import annotations

import io
from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
from report_tree import ORIGIN, bare

from genlib.report.embedded_images import MAX_SIDE, EmbeddedImage
from genlib.report.page import render_page
from genlib.runs import read_results


def test_a_contact_sheet_keeps_every_pixel_and_other_images_get_smaller(tmp_path: Path) -> None:
    noisy(tmp_path / "noise.png", side=MAX_SIDE + 100)
    png = (tmp_path / "noise.png").read_bytes()
    sheet, figure = (pixels_of(EmbeddedImage("noise", "noise", png, metadata_json=text)) for text in ("{}", ""))
    assert np.array_equal(sheet, pixels_of(png))
    assert max(figure.shape) == MAX_SIDE


def test_a_page_of_many_large_pictures_stays_under_5_mb(tmp_path: Path) -> None:
    bare(tmp_path, "vae")
    for i in range(8):
        noisy(tmp_path / f"runs/evaluate/vae/figures/figure_{i}.png")
    assert len(render_page(read_results(tmp_path, ["vae"]), ORIGIN)) < 5_000_000


def pixels_of(image: EmbeddedImage | bytes) -> Any:
    from PIL import Image

    picture = image if isinstance(image, bytes) else b64decode(image.data_uri.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def noisy(path: Path, side: int = 600) -> None:
    """A picture that does not compress."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(path)
