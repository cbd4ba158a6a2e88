"""Every public function here is a data set, and `data.name` names it.

A function of `DataConfig` checks quickly that its files exist and returns a `Source`, which reads them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genlib.data import image_folder
from genlib.data import parquet as parquet_files
from genlib.data.config import DataConfig
from genlib.data.image_folder import Listing
from genlib.errors import InputError, escape_unprintable, mask_secrets, one_line

if TYPE_CHECKING:
    from genlib.data.images import Images

DIGIT_CLASSES = tuple("0123456789")
FASHION_CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
KMNIST_CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

Names = tuple[str, ...]
IDX_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
CIFAR10_FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")


@dataclass(frozen=True)
class Source:
    """A data set that was found and not yet read; `train()` and `test()` read it, at its own size. `classes` is empty
    for a set without labels, `test` None for one without an official test set; `channels`: 1 grey, 3 RGB."""

    description: str
    classes: Names
    train: Callable[[], Images]
    test: Callable[[], Images] | None = None
    channels: int = 1


def digits(config: DataConfig) -> Source:
    """1,797 handwritten digits, 8x8, 17 grey levels (Alpaydin and Kaynak, 1998); part of scikit-learn."""

    def train() -> Images:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        return _to_images((bunch.images * (255 / 16)).round()[:, None], bunch.target)

    return Source("scikit-learn, load_digits", DIGIT_CLASSES, train)


def printed_digits(config: DataConfig) -> Source:
    """4,200 digits printed in 21 fonts, 32x32, each turned, slanted, stretched and blurred a little by `data.seed`."""

    def train() -> Images:
        from genlib.data.fonts import render_digits

        return render_digits(config.seed)

    return Source("fonts of matplotlib", DIGIT_CLASSES, train)


def mnist(config: DataConfig) -> Source:
    """70,000 handwritten digits, 28x28 (LeCun et al., 1998)."""
    return _from_torchvision(config, "MNIST", config.root, "MNIST/raw", IDX_FILES, DIGIT_CLASSES)


def fashion_mnist(config: DataConfig) -> Source:
    """70,000 pieces of clothing, 28x28 (Xiao et al., 2017)."""
    return _from_torchvision(config, "FashionMNIST", config.root, "FashionMNIST/raw", IDX_FILES, FASHION_CLASSES)


def kmnist(config: DataConfig) -> Source:
    """70,000 cursive Japanese characters, 28x28 (Clanuwat et al., 2018)."""
    return _from_torchvision(config, "KMNIST", config.root, "KMNIST/raw", IDX_FILES, KMNIST_CLASSES)


def cifar10(config: DataConfig) -> Source:
    """60,000 photographs, RGB, 32x32 (Krizhevsky, 2009)."""
    return _from_torchvision(config, "CIFAR10", config.root, "cifar-10-batches-py", CIFAR10_FILES, CIFAR10_CLASSES, 3)


def usps(config: DataConfig) -> Source:
    """9,298 digits from envelopes, 16x16 (Hull, 1994); looked for in `root/USPS`, or in `root` if there is none."""
    root = config.root / "USPS" if (config.root / "USPS").is_dir() else config.root
    return _from_torchvision(config, "USPS", root, "", ("usps.bz2", "usps.t.bz2"), DIGIT_CLASSES)


def folder(config: DataConfig) -> Source:
    """Any folder of images, laid out as image_folder.py says."""
    return _from_listings(config, *image_folder.find_listings(config.root, f"{config.key}.root"))


def folder_a(config: DataConfig) -> Source:
    """The first of two domains in one folder: `root/trainA` and, where there is one, `root/testA`."""
    return _from_listings(config, *image_folder.find_listings(config.root, f"{config.key}.root", "A"))


def folder_b(config: DataConfig) -> Source:
    """The second of two domains in one folder: `root/trainB` and, where there is one, `root/testB`."""
    return _from_listings(config, *image_folder.find_listings(config.root, f"{config.key}.root", "B"))


def parquet(config: DataConfig) -> Source:
    """Any folder of Parquet files with images in them, laid out as parquet.py says."""
    return _from_listings(config, *parquet_files.find_listings(config.root, f"{config.key}.root"))


def _from_listings(config: DataConfig, train: Listing, test: Listing | None) -> Source:
    counts = train.count_by_class()
    if test is not None and config.split == "pooled":
        counts = {name: count + test.count_by_class()[name] for name, count in counts.items()}
    config.require_min_counts(counts)
    listings = [train, test] if test else [train]
    channels = image_folder.read_common_channels([each.probe for each in listings], config.image_size)

    read = partial(partial, _read_listing, config.image_size)
    name = escape_unprintable(config.root.resolve().name)
    description = mask_secrets(f"{config.name.partition('_')[0]} {name}")
    return Source(description, train.classes, read(train), read(test) if test else None, channels)


def _read_listing(image_size: int | None, listing: Listing) -> Images:
    return _to_images(image_folder.read_images(listing.files, image_size), listing.labels or None)


def _from_torchvision(
    config: DataConfig, class_name: str, root: Path, subfolder: str, files: Names, classes: Names, channels: int = 1
) -> Source:
    """A set of `torchvision.datasets`, which keeps `files` in `root/subfolder`."""
    if not isinstance(root, Path):
        raise InputError(f"{config.key}.root: got {root}, expected a folder of this machine for {config.name}")
    missing = [root / subfolder / name for name in files if not (root / subfolder / name).is_file()]
    if missing and not config.download:
        there = ", ".join(sorted(path.name for path in root.iterdir())[:8]) if root.is_dir() else "no such folder"
        found = f"no {missing[0]} (in {root}: {there or 'nothing'})"
        expected = f"a root that holds {config.name}, or data.download: true"
        raise InputError(f"{config.key}.root: got {found}, expected {expected}")
    train, test = (partial(_read_torchvision, config, class_name, root, train=train) for train in (True, False))
    return Source(f"torchvision, {class_name}", classes, train, test, channels)


def _read_torchvision(config: DataConfig, class_name: str, root: Path, train: bool) -> Images:
    from torchvision import datasets

    try:
        stored = getattr(datasets, class_name)(root=root, train=train, download=config.download)
    except Exception as error:  # torchvision's readers raise what comes
        key = "data.download" if config.download else f"{config.key}.root"
        found = f"{class_name} in {root} unreadable ({one_line(error)})"
        raise InputError(f"{key}: got {found}, expected whole files") from error
    pixels = np.asarray(stored.data)
    return _to_images(pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2), stored.targets)


def _to_images(pixels: Any, labels: Any) -> Images:
    """From array-likes: pixels 0..255 [N, C, H, W] and class indices [N], or None."""
    import torch

    from genlib.data.images import Images

    stored = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.uint8))
    return Images(stored, None if labels is None else torch.tensor(np.asarray(labels, dtype=np.int64)))
