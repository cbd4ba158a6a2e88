"""Image files become pixels: sizes as torchvision's, modes, turns, and pages."""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import picture
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode
from torchvision.transforms import Resize as TorchvisionResize

from genlib.data.decoding import CHANNELS, MAX_PIXELS, Target, decode_chunk, inspect_image
from genlib.data.images import Images, resize
from genlib.data.resizing import scaled_size, window
from genlib.errors import InputError

SIZES = [(40, 64), (64, 40), (33, 33), (16, 90), (7, 5), (227, 128)]


def decode(path: Path, channels: int, side: int, how: str) -> np.ndarray:
    target = Target(channels, (side, side), how)
    [pixels] = decode_chunk(target, [path]).to_array(target)
    return pixels


@pytest.mark.parametrize("side", [8, 16, 33, 64])
@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_crop_is_torchvisions_resize_and_centre_crop(tmp_path, side, suffix):
    theirs = Compose([TorchvisionResize(side, InterpolationMode.BICUBIC, antialias=True), CenterCrop(side)])
    for number, size in enumerate(SIZES):
        path = picture(tmp_path / f"{number}{suffix}", "RGB", size=size)
        expected = np.asarray(theirs(Image.open(path).convert("RGB"))).transpose(2, 0, 1)
        assert np.abs(decode(path, 3, side, "crop").astype(int) - expected.astype(int)).max() <= 1


@pytest.mark.parametrize("how", ["crop", "squash", "pad"])
@pytest.mark.parametrize("size", SIZES)
def test_arrays_are_resized_as_files_are(tmp_path, size, how):
    smooth = np.add.outer(np.linspace(0, 120, size[1]), np.linspace(0, 120, size[0])).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "0.png")
    array = resize(Images(torch.from_numpy(smooth)[None, None]), 24, 24, how).pixels[0]
    assert (decode(tmp_path / "0.png", 1, 24, how).astype(int) - array.int().numpy()).max() <= 2


@pytest.mark.parametrize("own", [(10, 20), (20, 10), (9, 9), (1, 300)])
@pytest.mark.parametrize("size", [(8, 8), (6, 12)])
def test_crop_covers_pad_fits_and_both_are_centred(own, size):
    for resize_kind, compare in (("crop", np.greater_equal), ("pad", np.less_equal)):
        scaled = scaled_size(own, size, resize_kind)
        assert compare(scaled, size).all() and any(a == b for a, b in zip(scaled, size, strict=True))
        left, top, right, bottom = window(scaled, size)
        assert (bottom - top, right - left) == size
        assert abs(left + right - scaled[1]) <= 1 and abs(top + bottom - scaled[0]) <= 1
    assert scaled_size(own, size, "squash") == size and window(size, size) == (0, 0, size[1], size[0])


def test_pad_adds_black_and_keeps_the_whole_image(tmp_path):
    picture(tmp_path / "0.png", size=(16, 8), value=200)
    pixels = decode(tmp_path / "0.png", 1, 16, "pad")[0]
    assert (pixels[4:12] == 200).all() and not pixels[:4].any() and not pixels[12:].any()


@pytest.mark.parametrize("mode", sorted({*CHANNELS} - {"PA"}))  # which no format holds
def test_each_mode_becomes_grey_or_rgb(tmp_path, mode):
    """Also the inks of print, and grey among colours."""
    shade = 255 if mode == "1" else 204  # which palettes hold
    Image.new("RGB", (6, 5), (shade,) * 3).convert(mode).save(tmp_path / "0", "TIFF" if mode == "CMYK" else "PNG")
    channels, size = inspect_image(tmp_path / "0")
    assert (channels, size) == (CHANNELS[mode], (5, 6))
    found = decode(tmp_path / "0", 3, 5, "crop")
    assert found.shape == (3, 5, 5) and (np.abs(found.astype(int) - shade) <= 2).all()


def test_inks_of_a_jpeg_become_rgb(tmp_path):
    Image.new("RGB", (16, 16), (250, 20, 30)).convert("CMYK").save(tmp_path / "0.jpg")
    found = decode(tmp_path / "0.jpg", 3, 16, "crop").mean((1, 2))
    assert (np.abs(found - (250, 20, 30)) < 12).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_images_are_turned_as_their_exif_says(tmp_path, kind, turn):
    exif = Image.Exif()
    exif[0x112] = turn
    corners = Image.fromarray(np.kron([[0, 85, 170], [255, 60, 120]], np.ones((16, 16))).astype(np.uint8))
    corners.save(tmp_path / "0", kind, exif=exif, **({} if kind == "TIFF" else {"quality": 100}))
    expected = np.asarray(
        corners.transpose(Image.Transpose({2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}[turn])) if turn > 1 else corners
    )
    _, size = inspect_image(tmp_path / "0")
    target = Target(1, size, None)
    [[pixels]] = decode_chunk(target, [tmp_path / "0"]).to_array(target)
    assert size == expected.shape and np.abs(pixels.astype(int) - expected).max() <= 12


def test_a_chunk_names_its_broken_files_and_keeps_the_others(tmp_path):
    good = [picture(tmp_path / f"{number}.png", size=(8, 8)) for number in range(3)]
    other = picture(tmp_path / "other.png", size=(9, 8))
    (tmp_path / "bad.png").write_bytes(b"no image")
    target = Target(1, (8, 8), None, "0.png")
    chunk = decode_chunk(target, [good[0], tmp_path / "bad.png", other, tmp_path / "none.png", *good[1:]])
    pixels = chunk.to_array(target)
    assert list(chunk.channels) == [1, 0, 1, 0, 1, 1] and not pixels[1:4].any()
    for row, path in zip((0, 4, 5), good, strict=True):
        assert (pixels[row, 0] == np.asarray(Image.open(path))).all()
    bad, size, missing = chunk.problems
    assert (
        "bad.png: got an image that cannot be read" in bad and "none.png: got an image that cannot be read" in missing
    )
    assert size.startswith("data.image_size: got null, but 0.png is 8x8 and ") and size.endswith(
        "other.png is 9x8, expected a size to resize them to"
    )


def test_a_file_is_read_to_its_end_whatever_one_read_gives(tmp_path, monkeypatch):
    """The kind of fault: a remote file system may give less than it is asked for, and the image looks cut short."""
    expected = inspect_image(path := picture(tmp_path / "large.png", size=(64, 64)))
    read = os.read
    monkeypatch.setattr(os, "read", lambda number, size: read(number, min(size, 100)))
    assert inspect_image(path) == expected


def test_a_huge_image_is_refused_without_a_further_warning(tmp_path):
    side = int((1.4 * MAX_PIXELS) ** 0.5)  # of which Pillow warns, and more than are read
    Image.new("1", (side, side)).save(tmp_path / "huge.png")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with pytest.raises(InputError, match=f"{side} x {side} are more than"):
            inspect_image(tmp_path / "huge.png")
    assert not told
