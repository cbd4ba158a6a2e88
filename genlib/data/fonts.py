"""Digits printed in the fonts of matplotlib, each image distorted by a random affine map.

Images are sampled from large glyphs in float64, with ties rounded up, so that every machine gets the same bytes.
"""

import math
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from genlib.data.images import Images, round_to_pixels
from genlib.data.random import seeded_generator

# Of matplotlib's forty: the others hold no digits, or old-style ones (cmmi10), whose 1 is a small capital I.
FONTS = (
    *(f"DejaVuSans{mono}{style}" for mono in ("", "Mono") for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
    *("cmr10", "cmb10", "cmti10", "cmss10", "cmtt10"),
)
IMAGES_PER_GLYPH = 20  # images of one glyph: 4,200 in all
IMAGE_SIZE, SUPERSAMPLED_SIZE = 32, 64  # pixels of an image, and of the grid that it is averaged from
CANVAS_SIZE, GLYPH_HEIGHT = 128, 96  # pixels of a glyph's canvas, and of the glyph from top to bottom
# Pixels that a glyph takes from top to bottom at the most; MNIST's are 20 of 28.
FULL_HEIGHT, MNIST_HEIGHT = 32, 32 * 20 / 28
CHUNK = 256


def render_digits(seed: int, height: float = FULL_HEIGHT) -> Images:
    """4,200 images [1, 32, 32], white on black, 420 of each digit; label by label, font by font. `height`: pixels that
    a glyph takes from top to bottom at the most."""
    shapes = render_glyphs()
    which = torch.arange(len(shapes)).repeat_interleave(IMAGES_PER_GLYPH)
    maps, blurs = _draw_affine_maps(len(which), seed, height), _draw_blur_kernels(len(which), seed)
    chunks = [slice(start, start + CHUNK) for start in range(0, len(which), CHUNK)]
    pixels = torch.cat([_rasterize(shapes[which[rows]], maps[rows], blurs[rows]) for rows in chunks])
    return Images(pixels, which // len(FONTS))


def render_glyphs() -> Tensor:
    """float64 [10 * fonts, 1, 128, 128] in 0..1: every digit in every font, of one height, in the middle."""
    return torch.stack([_render_glyph(digit, font) for digit in "0123456789" for font in FONTS])[:, None]


def _render_glyph(digit: str, font: str) -> Tensor:
    path = Path(matplotlib.get_data_path()) / "fonts/ttf" / f"{font}.ttf"
    size = GLYPH_HEIGHT
    for _ in range(2):  # the second time at the size that makes it TALL
        face = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
        left, top, right, bottom = face.getbbox(digit)
        size = round(size * GLYPH_HEIGHT / (bottom - top))
    picture = Image.new("L", (CANVAS_SIZE, CANVAS_SIZE))
    at = ((CANVAS_SIZE - left - right) / 2, (CANVAS_SIZE - top - bottom) / 2)
    ImageDraw.Draw(picture).text(at, digit, fill=255, font=face)
    return torch.from_numpy(np.asarray(picture) / 255)


def _draw_affine_maps(n: int, seed: int, height: float) -> Tensor:
    """Affine maps [n, 2, 3] from places in an image to places in its glyph, both -1..1: a turn by up to 9 degrees, a
    slant by up to 0.2, 0.88 to 1 of the largest size along each side and a shift of up to a pixel each way."""
    draw = torch.rand(n, 6, generator=seeded_generator(seed, "printed", "map"), dtype=torch.float64) * 2 - 1
    turn, slant, *shift = draw[:, :4].unbind(1)
    wide, tall = (IMAGE_SIZE / CANVAS_SIZE * GLYPH_HEIGHT / height / (0.94 + 0.06 * draw[:, 4:])).unbind(1)
    cos, sin = (turn * math.radians(9)).cos(), (turn * math.radians(9)).sin()
    slant, (right, down) = slant * 0.2, (each * 2 / IMAGE_SIZE for each in shift)
    rows = [wide * cos, wide * (sin + slant), right, -tall * sin, tall * cos, down]
    return torch.stack(rows, 1).view(n, 2, 3)


def _draw_blur_kernels(n: int, seed: int) -> Tensor:
    """Weights [n, 32, 64] of a Gaussian of 0.5 to 1.1 pixels, which average the fine grid into pixels."""
    spread = 0.5 + 0.6 * torch.rand(n, 1, 1, generator=seeded_generator(seed, "printed", "blur"), dtype=torch.float64)
    pixels, points = (torch.arange(count, dtype=torch.float64) for count in (IMAGE_SIZE, SUPERSAMPLED_SIZE))
    apart = (pixels[:, None] + 0.5) - (points + 0.5) * IMAGE_SIZE / SUPERSAMPLED_SIZE
    weights = (-((apart / spread).square()) / 2).exp()
    return weights / weights.sum(2, keepdim=True)


def _rasterize(shapes: Tensor, maps: Tensor, blurs: Tensor) -> Tensor:
    """uint8 [n, 1, 32, 32]: each glyph through its map, blurred; what reaches 3/4 of the brightest point is white."""
    grid = F.affine_grid(maps, [len(shapes), 1, SUPERSAMPLED_SIZE, SUPERSAMPLED_SIZE], align_corners=False)
    fine = F.grid_sample(shapes, grid, align_corners=False)[:, 0]
    seen = blurs @ fine @ blurs.mT
    bright = 255 * seen / (0.75 * seen.amax((1, 2), keepdim=True))
    return round_to_pixels(bright)[:, None]
