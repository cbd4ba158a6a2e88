"""Pixels in a file are those in memory, whatever is read of them, and little is in memory at a time."""

import gc
import os
from pathlib import Path

import pytest
import torch

from genlib.data import pixels as storage
from genlib.data.images import Images, StoredImages, images_sha256, open_images, save_images
from genlib.data.pixels import PixelSpool, StoredPixels, iter_pieces, select_rows, store_pixels
from genlib.errors import InputError


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch):
    """All of it stays in files."""
    monkeypatch.setattr(storage, "MAX_HELD_BYTES", 0)


def some_pixels(shape=(50, 3, 4, 3), seed=0):
    return torch.randint(256, shape, generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


INDICES = {
    "first": 0,
    "last": -1,
    "all": slice(None),
    "none": slice(0, 0),
    "some": slice(10, 20),
    "past the end": slice(40, 90),
    "every third": slice(1, 40, 3),
    "rows": torch.tensor([3, 4, 5, 49, 0, 0, 7]),
    "pairs": torch.tensor([[1, 2], [2, 40]]),
    "mask": torch.arange(50) % 7 < 3,
    "no rows": torch.tensor([], dtype=torch.long),
}


@pytest.mark.parametrize("index", INDICES)
def test_an_index_reads_what_it_gives_of_a_tensor(index):
    held, index = some_pixels(), INDICES[index]
    stored = store_pixels(torch.split(held, 7), held.shape)
    assert isinstance(stored, StoredPixels) and stored.shape == held.shape and len(stored) == 50
    assert torch.equal(stored[index], held[index]) and stored[index].shape == held[index].shape
    if not isinstance(index, int) and held[index].ndim == 4:
        selected = select_rows(stored, index)
        assert isinstance(selected, StoredPixels) and torch.equal(selected[:], select_rows(held, index))


@pytest.mark.parametrize("size", [1, 7, 50, 99, None])
def test_pieces_are_the_whole_in_order(size):
    held = some_pixels()
    stored = select_rows(store_pixels([held], held.shape), torch.arange(49, -1, -1))
    pieces = list(iter_pieces(stored, size))
    assert torch.equal(torch.cat(pieces), held.flip(0)) and max(map(len, pieces)) <= (size or 50)
    assert [len(piece) for piece in iter_pieces(held[:0], size)] == [0]


def test_small_sets_are_in_memory(monkeypatch, tmp_path):
    held = some_pixels()
    save_images(Images(held), tmp_path / "x.safetensors")
    monkeypatch.setattr(storage, "MAX_HELD_BYTES", held.numel())
    assert isinstance(store_pixels([held], held.shape), torch.Tensor)
    assert isinstance(open_images(tmp_path / "x.safetensors").pixels, torch.Tensor)
    monkeypatch.setattr(storage, "MAX_HELD_BYTES", held.numel() - 1)
    assert isinstance(store_pixels([held], held.shape), StoredPixels)
    assert isinstance(open_images(tmp_path / "x.safetensors").pixels, StoredPixels)


def test_prepared_images_are_read_from_their_file(tmp_path):
    images = Images(some_pixels(), torch.arange(50) % 3)
    save_images(images, tmp_path / "x.safetensors")
    found = open_images(tmp_path / "x.safetensors")
    assert isinstance(found.pixels, StoredPixels) and found.shape == images.shape
    assert images_sha256({"": found}) == images_sha256({"": images})
    rows = torch.tensor([40, 3])
    assert torch.equal(found[rows].read().pixels, images.pixels[rows]) and found[rows].labels.tolist() == [1, 0]


def test_a_file_that_is_cut_short_is_refused_at_once_and_later(tmp_path):
    path = tmp_path / "x.safetensors"
    save_images(Images(some_pixels()), path)
    found = open_images(path)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(InputError, match="become shorter"):
        found.pixels[:]
    with pytest.raises(InputError, match=r"x\.safetensors: got a file that cannot be read"):
        open_images(path)


@pytest.mark.parametrize("limit", [0, 200, 10**6])
def test_images_of_any_shapes_come_back_one_by_one(monkeypatch, limit):
    monkeypatch.setattr(storage, "MAX_HELD_BYTES", limit)
    images = [some_pixels((1 + 2 * (row % 2), 3 + row, 5), seed=row) for row in range(9)]
    spool = PixelSpool()
    for image in images:
        spool.append(image)
    assert len(spool) == 9 and spool.shapes == [tuple(image.shape) for image in images]
    assert all(torch.equal(spool[row], image) for row, image in enumerate(images))


@pytest.mark.parametrize("limit", [0, 100, 10**6])
def test_images_of_one_shape_are_an_array(monkeypatch, limit):
    monkeypatch.setattr(storage, "MAX_HELD_BYTES", limit)
    held, spool = some_pixels(), PixelSpool()
    for image in held:
        spool.append(image)
    assert torch.equal(spool.as_pixels()[:], held)


def num_open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


def test_files_are_closed_with_the_pixels_and_leave_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    gc.collect()
    before, held = num_open_files(), some_pixels()
    stored = select_rows(store_pixels([held], held.shape), slice(3))
    assert num_open_files() == before + 1 and list(tmp_path.iterdir()) == []
    assert torch.equal(stored[:], held[:3])
    del stored
    gc.collect()
    assert num_open_files() == before


def test_a_full_disk_is_one_line(monkeypatch):
    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    held = some_pixels()
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(InputError, match=r"TMPDIR: got .*, which cannot be written \(No space left on device\)"):
        store_pixels([held], held.shape)


def test_a_selection_of_images_keeps_labels_and_reads_no_pixels():
    held = some_pixels()
    images = StoredImages(store_pixels([held], held.shape), torch.arange(50))
    some = images[torch.tensor([4, 2])][1:]
    assert isinstance(some.pixels, StoredPixels) and len(some) == 1 and some.labels.tolist() == [2]
    assert torch.equal(some.read().pixels, held[2:3])
