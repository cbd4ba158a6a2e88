"""A folder of images: layouts, order, modes and sizes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from image_files import classes, folder, picture
from PIL import Image

from genlib.data.catalog import find_source
from genlib.data.folder_scan import natural_sort_key
from genlib.data.image_folder import PROBE_FILES
from genlib.errors import InputError


@pytest.mark.parametrize("beneath", ["", "train"])
@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3)])
def test_folder_of_classes(tmp_path, mode, channels, beneath):
    classes(tmp_path / beneath, mode=mode)
    source = find_source(folder(tmp_path))
    images = source.train()
    assert (source.classes, source.test, images.shape) == (("cat", "dog"), None, (channels, 7, 9))
    assert images.labels.tolist() == [0] * 4 + [1] * 4
    stored = np.asarray(Image.open(tmp_path / beneath / "dog" / "1.png")).reshape(7, 9, channels)
    assert (images.pixels[5].permute(1, 2, 0).numpy() == stored).all()


def test_folder_with_official_test(tmp_path):
    classes(tmp_path / "train")
    classes(tmp_path / "test", count=2)
    source = find_source(folder(tmp_path, split="official"))
    assert (len(source.train()), len(source.test())) == (8, 4)


def test_flat_folder_has_no_labels(tmp_path):
    for index in range(6):
        picture(tmp_path / f"{index}.png")
    source = find_source(folder(tmp_path))
    assert source.classes == () and source.train().labels is None


@pytest.mark.parametrize("tested", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
def test_two_domains_in_one_folder(tmp_path, labelled, tested):
    for domain, mode, value in (("A", "L", 10), ("B", "RGB", 20)):
        for part, count in (("train", 6), ("test", 2 * tested)):
            for index, label in itertools.product(range(count), ("cat", "dog") if labelled else ("",)):
                picture(tmp_path / f"{part}{domain}" / label / f"{index}.png", mode, value=value)
    for domain, channels, value in (("a", 1, 10), ("b", 3, 20)):
        source = find_source(folder(tmp_path, name=f"folder_{domain}", split="official" if tested else "pooled"))
        assert (source.classes, source.channels) == (("cat", "dog") if labelled else (), channels)
        assert (len(source.train()), source.test and len(source.test())) == (
            6 * (1 + labelled),
            2 * (1 + labelled) if tested else None,
        )
        assert source.train().pixels.unique().tolist() == [value]


def test_odd_sizes_are_resized(tmp_path):
    for index, suffix in enumerate((".png", ".jpg", ".JPEG", ".bmp", ".webp")):
        picture(tmp_path / f"{index}{suffix}", "RGB", size=(5 + 30 * index, 41 - index), value=200)
    pixels = find_source(folder(tmp_path, image_size=16)).train().pixels
    assert pixels.shape == (5, 3, 16, 16)
    assert (pixels.int() - 200).abs().max() <= 2  # what JPEG and WebP lose


def test_shrinking_averages(tmp_path):
    checks = np.indices((64, 64)).sum(0) % 2 * 255
    for index in range(3):
        Image.fromarray(checks.astype(np.uint8)).save(tmp_path / f"{index}.png")
    pixels = find_source(folder(tmp_path, image_size=8)).train().pixels
    assert (pixels[:, :, 2:6, 2:6].float() - 127.5).abs().max() < 2


def test_order_is_natural_and_ignores_case(tmp_path):
    names = ["IMG1", "img2", "Img10", "img10b", "other3", "Other20"]
    backwards = names[::-1]
    assert sorted(backwards, key=natural_sort_key) == names
    for value, name in reversed(list(enumerate(names))):
        picture(tmp_path / f"{name}.png", value=value)
    assert find_source(folder(tmp_path)).train().pixels[:, 0, 0, 0].tolist() == list(range(6))


def test_hidden_and_other_files_are_passed_over(tmp_path):
    classes(tmp_path)
    for name in (".DS_Store", "cat/.hidden.png", "notes.txt", "cat/Thumbs.db", "__MACOSX/cat/1.png", ".git/x.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("not an image")
    assert len(find_source(folder(tmp_path)).train()) == 8


def test_modes_become_grey_or_rgb(tmp_path):
    grey, colour = tmp_path / "grey", tmp_path / "colour"
    for root in (grey, colour):
        root.mkdir()
    Image.new("1", (4, 4), 1).save(grey / "0.png")
    Image.new("L", (4, 4), 10).save(grey / "1.png")
    Image.new("LA", (4, 4), (10, 0)).save(grey / "2.png")
    Image.new("LA", (4, 4), (10, 255)).save(grey / "3.png")
    Image.new("RGB", (4, 4), (1, 2, 3)).save(colour / "0.png")
    Image.new("RGB", (4, 4), (1, 2, 3)).quantize().save(colour / "1.png")
    Image.new("RGBA", (4, 4), (1, 2, 3, 0)).save(colour / "2.png")
    Image.new("RGBA", (4, 4), (1, 2, 3, 255)).save(colour / "3.png")
    assert find_source(folder(grey)).train().pixels[:, :, 0, 0].tolist() == [[255], [10], [255], [10]]
    assert find_source(folder(colour)).train().pixels[:, :, 0, 0].tolist() == [[1, 2, 3]] * 2 + [[255] * 3, [1, 2, 3]]


def test_truncation_beyond_the_probe_is_found_on_reading(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "0.png")
    content = (tmp_path / "0.png").read_bytes()
    for index in range(1, PROBE_FILES + 1):
        (tmp_path / f"{index}.png").write_bytes(content if index != 1 else content[:40])
    source = find_source(folder(tmp_path))
    with pytest.raises(InputError, match=r"/1\.png: got an image that cannot be read"):
        source.train()
