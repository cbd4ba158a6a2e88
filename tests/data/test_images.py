"""Images: bytes and floats, resizing, and the file that holds a set."""

import numpy as np
import pytest
import torch
from numbered_images import made, numbers
from PIL import Image
from safetensors.torch import save_file

from genlib.data.images import Images, load_images, resize, save_images, to_float, to_pixels
from genlib.data.random import seeded_generator
from genlib.errors import InputError


def test_pixels_and_floats_are_inverse():
    pixels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_pixels(to_float(pixels)), pixels)
    assert to_float(pixels).min() == -1
    assert to_float(pixels).max() == 1
    assert to_pixels(torch.tensor([-7.0, 7.0])).tolist() == [0, 255]


def test_images_without_labels_survive_the_file(tmp_path):
    images = Images(torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8))
    save_images(images, tmp_path / "x.safetensors")
    found = load_images(tmp_path / "x.safetensors")
    assert torch.equal(found.pixels, images.pixels)
    assert found.labels is None


@pytest.mark.parametrize("content", [b"", b"not a tensor file"])
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"x\.safetensors"):
        load_images(path)


@pytest.mark.parametrize("count", [1, 7, 3000])
@pytest.mark.parametrize("labelled", [True, False])
def test_a_saved_set_is_what_safetensors_writes(tmp_path, count, labelled):
    images, path = made(count, labelled=labelled), tmp_path / "images.safetensors"
    save_images(images, path)
    tensors = {"pixels": images.pixels} | ({"labels": images.labels} if labelled else {})
    save_file(tensors, tmp_path / "theirs.safetensors")
    assert path.read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()
    rows = torch.arange(count).flip(0)[: count // 2]
    save_images(images, path, rows)
    assert numbers(load_images(path)) == rows.tolist()


@pytest.mark.parametrize("side", [3, 8, 16, 33])
def test_resizing_keeps_constants(side):
    pixels = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1).expand(256, 3, 12, 9)
    resized = resize(Images(pixels), side, side)
    assert resized.shape == (3, side, side)
    assert (resized.pixels == pixels[:, :, :1, :1]).all()


def test_resizing_neither_wraps_nor_aliases():
    edge = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    edge[..., 4:] = 255
    row = resize(Images(edge), 16, 16).pixels[0, 0, 5].int()
    assert row.diff().min() >= -20 and row[:6].max() <= 20 and row[10:].min() >= 235
    checks = (torch.arange(64).view(-1, 1) + torch.arange(64)) % 2 * 255
    grey = resize(Images(checks.to(torch.uint8).view(1, 1, 64, 64)), 8, 8).pixels[..., 2:6, 2:6]
    assert (grey.float() - 127.5).abs().max() < 2


def test_resizing_agrees_with_pillow_and_with_any_chunk():
    pixels = torch.randint(0, 256, (10, 1, 28, 28), dtype=torch.uint8, generator=seeded_generator(0))
    whole = resize(Images(pixels), 19, 19).pixels
    assert torch.equal(whole, resize(Images(pixels), 19, 19, chunk=3).pixels)
    theirs = [np.asarray(Image.fromarray(p.numpy()).resize((19, 19), Image.Resampling.BICUBIC)) for p in pixels[:, 0]]
    gap = (whole[:, 0].int() - torch.from_numpy(np.stack(theirs)).int()).abs()
    assert gap.max() <= 8 and gap.float().mean() < 0.5  # Pillow also clips between its two passes
