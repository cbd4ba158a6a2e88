"""Where images come from: every public function here is a data set, and its name is what `data.name` says.

A function looks whether its set is there and legal, which is quick, and returns a `Source`, which reads when asked to.
To add a set, write one function of `DataSettings`; nothing else is edited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genlib.data import image_folder as folders
from genlib.data import parquet as tables
from genlib.data.config import DataSettings, require_enough
from genlib.errors import InputError

if TYPE_CHECKING:
    from genlib.data.images import Images

DIGITS = tuple("0123456789")
CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

IDX = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")


@dataclass(frozen=True)
class Source:
    """A data set that was found and not yet read; `train()` and `test()` read it, at its own size.

    `source` says in words where it comes from; `classes` is empty for a set without labels; `test` is None for a set
    without an official test set; `channels` are 1 for grey images, 3 for RGB.
    """

    source: str
    classes: tuple[str, ...]
    train: Callable[[], Images]
    test: Callable[[], Images] | None = None
    channels: int = 1


def digits(settings: DataSettings) -> Source:
    """1,797 handwritten digits, 8x8, 17 grey levels (Alpaydin and Kaynak, 1998); part of scikit-learn."""

    def train() -> Images:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        return _images((bunch.images * (255 / 16)).round()[:, None], bunch.target)

    return Source("scikit-learn, load_digits", DIGITS, train)


def printed_digits(settings: DataSettings) -> Source:
    """4,200 digits printed in 21 fonts, 32x32, each turned, slanted, stretched and blurred a little by `data.seed`."""

    def train() -> Images:
        from genlib.data.fonts import printed

        return printed(settings.seed)

    return Source("fonts of matplotlib", DIGITS, train)


def mnist(settings: DataSettings) -> Source:
    """70,000 handwritten digits, 28x28 (LeCun et al., 1998)."""
    return _torchvision(settings, "MNIST", settings.root, "MNIST/raw", IDX, DIGITS)


def fashion_mnist(settings: DataSettings) -> Source:
    """70,000 pieces of clothing, 28x28 (Xiao et al., 2017)."""
    return _torchvision(settings, "FashionMNIST", settings.root, "FashionMNIST/raw", IDX, CLOTHES)


def kmnist(settings: DataSettings) -> Source:
    """70,000 cursive Japanese characters, 28x28 (Clanuwat et al., 2018)."""
    return _torchvision(settings, "KMNIST", settings.root, "KMNIST/raw", IDX, KANA)


def cifar10(settings: DataSettings) -> Source:
    """60,000 photographs, RGB, 32x32 (Krizhevsky, 2009)."""
    return _torchvision(settings, "CIFAR10", settings.root, "cifar-10-batches-py", BATCHES, THINGS, channels=3)


def usps(settings: DataSettings) -> Source:
    """9,298 digits from envelopes, 16x16 (Hull, 1994); looked for in `root/USPS`, or in `root` if there is none."""
    own = settings.root / "USPS"
    return _torchvision(
        settings, "USPS", own if own.is_dir() else settings.root, "", ("usps.bz2", "usps.t.bz2"), DIGITS
    )


def folder(settings: DataSettings) -> Source:
    """Any folder of images, laid out as `folders.py` says."""
    return _listed(settings, *folders.listings(settings.root), folders.glance)


def parquet(settings: DataSettings) -> Source:
    """Any folder of Parquet files with images in them, laid out as `parquet.py` says."""
    return _listed(settings, *tables.listings(settings.root), tables.glance)


def folder_a(settings: DataSettings) -> Source:
    """The first of two domains in one folder: `root/trainA` and, where there is one, `root/testA`."""
    return _listed(settings, *folders.listings(settings.root, "A"), folders.glance)


def folder_b(settings: DataSettings) -> Source:
    """The second of two domains in one folder: `root/trainB` and, where there is one, `root/testB`."""
    return _listed(settings, *folders.listings(settings.root, "B"), folders.glance)


def _listed(
    settings: DataSettings,
    train: folders.Listing,
    test: folders.Listing | None,
    glance: Callable[[Sequence[folders.Listing], int | None], int],
) -> Source:
    """A set of image files, of which `glance` sees whether they can be read, and their channels."""
    together = train.counts()
    if test is not None and settings.split == "pooled":
        together = {name: count + test.counts()[name] for name, count in together.items()}
    require_enough(together, settings)
    channels = glance([train, test] if test else [train], settings.image_size)

    def reader(listing: folders.Listing) -> Callable[[], Images]:
        return lambda: _images(folders.read(listing.files, settings.image_size), listing.labels or None)

    source = f"{settings.name.partition('_')[0]} {settings.root.resolve().name}"
    return Source(source, train.classes, reader(train), reader(test) if test else None, channels)


def _torchvision(
    settings: DataSettings,
    kind: str,
    root: Path,
    folder: str,
    files: tuple[str, ...],
    classes: tuple[str, ...],
    channels: int = 1,
) -> Source:
    """A set of `torchvision.datasets`, whose class `kind` keeps `files` in `root/folder`."""
    if not isinstance(root, Path):
        raise InputError(f"data.root: found {root}, legal for {settings.name}: a folder of this machine")
    if not settings.download:
        _require_files(settings, root / folder, files)

    def reader(*, train: bool) -> Callable[[], Images]:
        return lambda: _read_torchvision(settings, kind, root, train)

    return Source(f"torchvision, {kind}", classes, reader(train=True), reader(train=False), channels)


def _require_files(settings: DataSettings, folder: Path, files: tuple[str, ...]) -> None:
    missing = [name for name in files if not (folder / name).is_file()]
    if missing:
        root = settings.root
        there = ", ".join(sorted(path.name for path in root.iterdir())[:8]) if root.is_dir() else "no such folder"
        raise InputError(
            f"data.root: found no {folder / missing[0]} (in {root}: {there or 'nothing'}), "
            f"legal: a root that holds {settings.name}, or data.download: true"
        )


def _read_torchvision(settings: DataSettings, kind: str, root: Path, train: bool) -> Images:
    import numpy as np
    from torchvision import datasets

    try:
        stored = getattr(datasets, kind)(root=root, train=train, download=settings.download)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        key = "data.download" if settings.download else "data.root"
        raise InputError(f"{key}: found {kind} in {root} unreadable ({reason}), legal: whole files") from error
    pixels = np.asarray(stored.data)
    return _images(pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2), stored.targets)


def _images(pixels: Any, labels: Any) -> Images:
    """From array-likes: pixels 0..255 [N, C, H, W] and class indices [N], or None."""
    import numpy as np
    import torch

    from genlib.data.images import Images

    stored = torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.uint8))
    return Images(stored, None if labels is None else torch.tensor(np.asarray(labels, dtype=np.int64)))
