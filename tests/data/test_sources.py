"""The data sets that are named: what each of them reads."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from image_files import DIGITS

from genlib.data import sources
from genlib.data.catalog import find_source
from genlib.data.config import DataConfig
from genlib.data.dataset import prepare
from genlib.data.images import Images
from genlib.data.sources import Source
from genlib.errors import InputError

SHARED = Path(__file__).parents[2] / ".." / "shared" / "data"


def test_digits():
    source = find_source(DIGITS)
    images = source.train()
    assert (len(images), images.shape, source.test, len(source.classes)) == (1797, (1, 8, 8), None, 10)
    assert images.pixels.unique().tolist() == [round(value * 255 / 16) for value in range(17)]
    assert images.labels is not None
    assert images.labels.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_mnist5k():
    images = find_source(DataConfig(name="mnist5k")).train()
    assert (len(images), images.shape) == (5000, (1, 28, 28)) and images.labels.bincount().tolist() == [500] * 10
    if not (SHARED / "MNIST").is_dir():
        pytest.skip(f"no MNIST in {SHARED} to compare with")
    mnist = find_source(DataConfig(name="mnist", root=SHARED))
    label_of = {
        image.tobytes(): label
        for part in (mnist.train(), mnist.test())
        for image, label in zip(part.pixels.numpy(), part.labels.tolist(), strict=True)
    }
    assert [label_of[image.tobytes()] for image in images.pixels.numpy()] == images.labels.tolist()


@pytest.mark.parametrize(("name", "count", "tested", "side"), [("mnist", 60000, 10000, 28), ("usps", 7291, 2007, 16)])
def test_shared_sets(name, count, tested, side):
    if not (SHARED / name.upper()).is_dir():
        pytest.skip(f"no {name.upper()} in {SHARED}")
    source = find_source(DataConfig(name=name, root=SHARED, split="official"))
    train, test = source.train(), source.test()
    assert (len(train), len(test), train.shape) == (count, tested, (1, side, side))
    assert train.pixels.dtype == torch.uint8 and train.labels.unique().tolist() == list(range(10))


def idx(path: Path, array: np.ndarray) -> None:
    """The format of the MNIST family: magic, sizes, bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_mnist_family(name, folder, tmp_path):
    for part, count in (("train", 30), ("t10k", 20)):
        pixels = np.arange(count)[:, None, None] + np.zeros((28, 28))
        idx(tmp_path / folder / "raw" / f"{part}-images-idx3-ubyte", pixels)
        idx(tmp_path / folder / "raw" / f"{part}-labels-idx1-ubyte", np.arange(count) % 10)
    source = find_source(DataConfig(name=name, root=tmp_path))
    train, test = source.train(), source.test()
    assert len(set(source.classes)) == 10
    assert train.pixels[:, 0, 0, 0].tolist() == list(range(30)) and len(test) == 20
    assert test.labels.tolist() == [*range(10), *range(10)]


def test_cifar10(tmp_path, monkeypatch):
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    rows = np.repeat(np.arange(3072) // 1024, 10).reshape(3072, 10).T.astype(np.uint8)  # red 0, green 1, blue 2
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (root / name).write_bytes(pickle.dumps({"data": rows, "labels": list(range(10))}))
    (root / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    source = find_source(DataConfig(name="cifar10", root=tmp_path))
    train, test = source.train(), source.test()
    assert (len(train), len(test), train.shape) == (50, 10, (3, 32, 32))
    assert train.pixels.float().mean((0, 2, 3)).tolist() == [0, 1, 2]


def test_a_new_set_is_one_function(tmp_path, monkeypatch):
    def stripes(settings: DataConfig) -> Source:
        pixels = torch.arange(30, dtype=torch.uint8).view(30, 1, 1, 1).expand(30, 1, 4, 4)
        return Source("made", ("even", "odd"), lambda: Images(pixels, torch.arange(30) % 2))

    stripes.__module__ = sources.__name__
    monkeypatch.setattr(sources, "stripes", stripes, raising=False)
    info = prepare(DataConfig(name="stripes"), tmp_path)
    assert (info["classes"], info["counts"]) == (["even", "odd"], {"train": 18, "valid": 6, "test": 6})


def test_garbage_in_a_torchvision_file(tmp_path):
    for part, kind in itertools.product(("train", "t10k"), ("images-idx3", "labels-idx1")):
        idx(tmp_path / "MNIST" / "raw" / f"{part}-{kind}-ubyte", np.zeros(0))
    source = find_source(DataConfig(name="mnist", root=tmp_path))
    with pytest.raises(InputError, match=r"data\.root: got MNIST .* unreadable"):
        source.train()
