"""Printed digits: drawn in every font, as large and bright as handwritten ones."""

from __future__ import annotations

import pytest
import torch
from image_files import DIGITS

from genlib.data.catalog import find_source
from genlib.data.config import DataConfig
from genlib.data.fonts import FONTS, FULL_HEIGHT, MNIST_HEIGHT, render_digits, render_glyphs
from genlib.data.images import Images, resize


@pytest.fixture(scope="module")
def prints() -> Images:
    return render_digits(seed=0)


def test_printed_digits(prints):
    source = find_source(DataConfig(name="printed_digits"))
    images = source.train()
    assert (source.test, source.classes, source.channels) == (None, tuple("0123456789"), 1)
    assert (images.pixels.dtype, images.shape, images.labels.bincount().tolist()) == (
        torch.uint8,
        (1, 32, 32),
        [420] * 10,
    )
    assert torch.equal(images.pixels, prints.pixels) and torch.equal(images.labels, prints.labels)
    assert not torch.equal(render_digits(seed=1).pixels, prints.pixels)


@pytest.mark.parametrize("side", [16, 28, 32])
def test_no_printed_digit_comes_twice(prints, side):
    pixels = resize(prints, side, side).pixels.flatten(1)
    assert len(pixels.unique(dim=0)) == len(pixels) == 4200


def test_every_font_has_ten_digits():
    """Drawn, apart from each other, and each nearer to the mean shape of its own digit than to any other's."""
    shapes = render_glyphs().flatten(1).view(10, len(FONTS), -1)
    assert shapes.mean(2).min() > 0.03
    assert min(torch.nn.functional.pdist(shapes[:, font]).min() for font in range(len(FONTS))) > 5
    nearest = torch.cdist(shapes.transpose(0, 1), shapes.mean(1)[None]).argmin(2)
    assert (nearest == torch.arange(10)).float().mean() > 0.9


def looks(images: Images) -> torch.Tensor:
    """The mean of ink, of the brightest point, of height and of width, as shares of the image."""
    ink = resize(images, 16, 16).pixels[:, 0] / 255
    high, wide = ((ink > 0.2).any(axis).float().mean() for axis in (2, 1))
    return torch.stack([ink.mean(), ink.amax((1, 2)).mean(), high, wide])


def test_printed_digits_are_drawn_as_large_and_bright_as_handwritten_ones(prints):
    assert (looks(prints) / looks(find_source(DIGITS).train()) - 1).abs().max() < 0.1


def test_those_with_the_margins_of_mnist_are_as_large_and_bright_as_its_digits():
    """Its strokes are thinner, so that ink may differ by more; without margins it is 2.2 times as much."""
    printed, mnist = (find_source(DataConfig(name=name)).train() for name in ("printed_mnist", "mnist5k"))
    assert torch.equal(printed.pixels, render_digits(seed=0, height=MNIST_HEIGHT).pixels)
    ink, *others = (looks(printed) / looks(mnist) - 1).abs()
    assert ink < 0.25 and max(others) < 0.1


@pytest.mark.parametrize("height", [FULL_HEIGHT, MNIST_HEIGHT])
def test_printed_digits_lie_in_the_middle(height):
    mean = render_digits(seed=0, height=height).pixels[:, 0].double().mean(0)
    weight, place = mean / mean.sum(), torch.arange(32) + 0.5
    centre = [(weight.sum(axis) * place).sum().item() for axis in (1, 0)]
    assert centre == pytest.approx([16, 16], abs=1)
