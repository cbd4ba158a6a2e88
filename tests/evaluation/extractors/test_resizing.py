"""Ways of resizing against the libraries whose ways they are."""

import numpy as np
import pytest
import torch
from evaluation.extractors.random_weights import draw_pictures
from PIL import Image

from genlib.evaluation.extractors import resizing

SIZES = [(32, 32), (227, 128), (299, 299), (400, 601), (1, 5)]
FILTERS = Image.Resampling
PILLOW = {resizing.antialiased_bicubic: FILTERS.BICUBIC, resizing.antialiased_bilinear: FILTERS.BILINEAR}
WAYS = [resizing.tensorflow1, resizing.half_pixel_bilinear, *PILLOW]


def resize_by_pillow(pixels, size, filter_):
    """As clean-fid: each channel as floats, clipped to [0, 255]; in [0, 1]."""
    channels = (Image.fromarray(channel.astype(np.float32)) for channel in pixels.numpy())
    resized = [np.asarray(channel.resize((size, size), filter_)) for channel in channels]
    return torch.from_numpy(np.stack(resized).clip(0, 255)) / 255


@pytest.mark.parametrize("own", SIZES)
@pytest.mark.parametrize("way", PILLOW, ids=lambda way: way.__name__)
def test_antialiased_ways_are_pillows(way, own):
    pixels = draw_pictures(1, *own)
    pixels[:, :, ::3] = 255 - pixels[:, :, ::3]  # edges, at which the bicubic kernel passes the range
    found = resizing.Resize(way, 299)(pixels.double() / 255)
    torch.testing.assert_close(found[0].float(), resize_by_pillow(pixels[0], 299, PILLOW[way]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("own", SIZES)
def test_the_bicubic_way_is_that_of_clean_fid(own):
    clean = pytest.importorskip("cleanfid.resize", reason="clean-fid is not installed: make peers")
    pixels = draw_pictures(1, *own)[0]
    theirs = torch.from_numpy(clean.build_resizer("clean")(pixels.permute(1, 2, 0).numpy())).permute(2, 0, 1) / 255
    found = resizing.Resize(resizing.antialiased_bicubic, 299)(pixels[None] / 255)[0]
    torch.testing.assert_close(found, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("own", SIZES)
def test_the_half_pixel_way_is_that_of_torch(own):
    x = draw_pictures(2, *own) / 255
    expected = torch.nn.functional.interpolate(x, (299, 299), mode="bilinear", align_corners=False)
    torch.testing.assert_close(resizing.Resize(resizing.half_pixel_bilinear, 299)(x), expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("own", SIZES)
def test_the_way_of_tensorflow_1_is_that_of_torch_fidelity(own):
    module = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    x = draw_pictures(2, *own).float()
    expected = module.interpolate_bilinear_2d_like_tensorflow1x(x, size=(299, 299), align_corners=False)
    torch.testing.assert_close(resizing.Resize(resizing.tensorflow1, 299)(x / 255), expected / 255, rtol=0, atol=1e-6)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("own", [1, 2, 7, 100])
def test_an_image_of_one_colour_keeps_it_and_one_of_the_size_is_left_alone(way, own):
    resize = resizing.Resize(way, 7)
    torch.testing.assert_close(resize(torch.full((1, 1, own, 3), 0.3)), torch.full((1, 1, 7, 7), 0.3))
    x = torch.rand(1, 2, 7, 7)
    torch.testing.assert_close(resize(x), x)


def test_the_ways_differ():
    x = draw_pictures(1, 100, 100) / 255
    x[:, :, ::2] = 1 - x[:, :, ::2]
    found = [resizing.Resize(way, 33)(x) for way in WAYS]
    for i, one in enumerate(found):
        assert all((one - other).abs().max() > 0.01 for other in found[:i])
