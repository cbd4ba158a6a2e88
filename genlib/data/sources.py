"""Where images come from: every public function here is a data set, and its name is what `data.name` says.

A function looks whether its set is there and expected, which is quick, and returns a `Source`, which reads when asked to.
To add a set, write one function of `DataSettings`; nothing else is edited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib.data import image_folder as folders
from genlib.data import parquet as tables
from genlib.data.config import DataConfig, require_min_counts
from genlib.errors import InputError, one_line

if TYPE_CHECKING:
    from genlib.data.images import Images

DIGIT_CLASSES = tuple("0123456789")
FASHION_CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
KMNIST_CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

IDX_FILES = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
CIFAR10_FILES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")


@dataclass(frozen=True)
class Source:
    """A data set that was found and not yet read; `train()` and `test()` read it, at its own size.

    `source` says in words where it comes from; `classes` is empty for a set without labels; `test` is None for a set
    without an official test set; `channels` are 1 for grey images, 3 for RGB.
    """

    description: str
    classes: tuple[str, ...]
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
    return _from_torchvision(
        config, "CIFAR10", config.root, "cifar-10-batches-py", CIFAR10_FILES, CIFAR10_CLASSES, channels=3
    )


def usps(config: DataConfig) -> Source:
    """9,298 digits from envelopes, 16x16 (Hull, 1994); looked for in `root/USPS`, or in `root` if there is none."""
    own = config.root / "USPS"
    return _from_torchvision(
        config, "USPS", own if own.is_dir() else config.root, "", ("usps.bz2", "usps.t.bz2"), DIGIT_CLASSES
    )


def folder(config: DataConfig) -> Source:
    """Any folder of images, laid out as `folders.py` says."""
    return _from_listings(config, *folders.find_listings(config.root), folders.probe_channels)


def parquet(config: DataConfig) -> Source:
    """Any folder of Parquet files with images in them, laid out as `parquet.py` says."""
    return _from_listings(config, *tables.find_listings(config.root), tables.probe_channels)


def folder_a(config: DataConfig) -> Source:
    """The first of two domains in one folder: `root/trainA` and, where there is one, `root/testA`."""
    return _from_listings(config, *folders.find_listings(config.root, "A"), folders.probe_channels)


def folder_b(config: DataConfig) -> Source:
    """The second of two domains in one folder: `root/trainB` and, where there is one, `root/testB`."""
    return _from_listings(config, *folders.find_listings(config.root, "B"), folders.probe_channels)


def _from_listings(
    config: DataConfig,
    train: folders.Listing,
    test: folders.Listing | None,
    probe_channels: Callable[[Sequence[folders.Listing], int | None], int],
) -> Source:
    """A set of image files, of which `glance` sees whether they can be read, and their channels."""
    together = train.count_by_class()
    if test is not None and config.split == "pooled":
        together = {name: count + test.count_by_class()[name] for name, count in together.items()}
    require_min_counts(together, config)
    channels = probe_channels([train, test] if test else [train], config.image_size)

    def reader(listing: folders.Listing) -> Callable[[], Images]:
        return lambda: _to_images(folders.read_images(listing.files, config.image_size), listing.labels or None)

    source = f"{config.name.partition('_')[0]} {config.root.resolve().name}"
    return Source(source, train.classes, reader(train), reader(test) if test else None, channels)


def _from_torchvision(
    config: DataConfig,
    class_name: str,
    root: Path,
    subfolder: str,
    files: tuple[str, ...],
    classes: tuple[str, ...],
    channels: int = 1,
) -> Source:
    """A set of `torchvision.datasets`, whose class `kind` keeps `files` in `root/folder`."""
    if not isinstance(root, Path):
        raise InputError(f"data.root: found {root}, expected for {config.name}: a folder of this machine")
    if not config.download:
        _require_files(config, root / subfolder, files)

    def reader(*, train: bool) -> Callable[[], Images]:
        return lambda: _read_torchvision(config, class_name, root, train)

    return Source(f"torchvision, {class_name}", classes, reader(train=True), reader(train=False), channels)


def _require_files(config: DataConfig, folder: Path, files: tuple[str, ...]) -> None:
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        root = config.root
        there = ", ".join(sorted(path.name for path in root.iterdir())[:8]) if root.is_dir() else "no such folder"
        raise InputError(
            f"data.root: got no {folder / missing[0]} (in {root}: {there or 'nothing'}), "
            f"expected a root that holds {config.name}, or data.download: true"
        )


def _read_torchvision(config: DataConfig, class_name: str, root: Path, train: bool) -> Images:
    import numpy as np
    from torchvision import datasets

    try:
        stored = getattr(datasets, class_name)(root=root, train=train, download=config.download)
    except Exception as error:
        reason = one_line(error)
        key = "data.download" if config.download else "data.root"
        raise InputError(f"{key}: got {class_name} in {root} unreadable ({reason}), expected whole files") from error
    pixels = np.asarray(stored.data)
    return _to_images(pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2), stored.targets)


def _to_images(pixels: Any, labels: Any) -> Images:
    """From array-likes: pixels 0..255 [N, C, H, W] and class indices [N], or None."""
    import numpy as np
    import torch

    from genlib.data.images import Images

    stored = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.uint8))
    return Images(stored, None if labels is None else torch.tensor(np.asarray(labels, dtype=np.int64)))
