"""A folder of image files: what is in it, in which order, and its pixels.

    root/train/<class>/*.png  [root/test/<class>/*.png]      classes, with an official test set if there is `test`
    root/<class>/*.png                                       classes, no official test set
    root/[train/]*.png                                       no labels
    root/{trainA,trainB}/... [root/{testA,testB}/...]        two domains, each of them with or without classes

Order is natural and ignores case (`img2` before `IMG10`), the same on every machine. Files of 8 bits per channel are
read: grey (also bilevel) as one channel, RGB and palette as three. Transparency is laid on white, and the rotation
that a camera noted is applied. Hidden files and files of other kinds are passed over; what a file holds, not how its
name ends, says its kind, and it is one whole picture: no animation, nor more pixels than Pillow thinks safe.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from genlib.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
CHANNELS = {"1": 1, "L": 1, "LA": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3}
GLANCE_FILES, GLANCE_BYTES = 2000, 32 * 2**20


@dataclass(frozen=True)
class Listing:
    """Image files in order; `classes` are names and `labels` index into them, both empty for a flat folder."""

    paths: tuple[Path, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Images by class; one entry with an empty name for a flat folder."""
        if not self.classes:
            return {"": len(self.paths)}
        counts = Counter(self.labels)
        return {name: counts[label] for label, name in enumerate(self.classes)}


def listings(root: Path, domain: str = "") -> tuple[Listing, Listing | None]:
    """The train listing and, where `root/train` and `root/test` both are, the test listing.

    `domain` is the end of both names, A or B, in a folder that holds two.
    """
    train, test = root / f"train{domain}", root / f"test{domain}"
    if not root.is_dir():
        raise InputError(f"data.root: found no folder {root}, legal: a folder of images")
    if domain and not train.is_dir():
        raise InputError(f"data.root: found no folder {train}, legal: a folder with trainA and trainB [testA testB]")
    if not train.is_dir():
        return listing(root), None
    learned, tested = listing(train), listing(test) if test.is_dir() else None
    if tested is not None and tested.classes != learned.classes:
        raise InputError(
            f"data.root: found classes {list(tested.classes)} in {test}, legal: those of {train}, "
            f"{list(learned.classes)}"
        )
    return learned, tested


def listing(folder: Path) -> Listing:
    """The images of one folder: of its sub-folders, which are the classes, or its own."""
    flat, classes = images_in(folder), children(folder, files=False)
    if flat and classes:
        raise InputError(
            f"data.root: found images ({flat[0].name}) beside folders ({classes[0].name}) in {folder}, "
            "legal: one folder per class, or images only"
        )
    by_class = [images_in(each) for each in classes]
    for each, paths in zip(classes, by_class, strict=True):
        if not paths:
            raise InputError(f"data.root: found no images in {each}, legal: files ending in {' '.join(SUFFIXES)}")
    if not flat and not classes:
        raise InputError(f"data.root: found no images in {folder}, legal: files ending in {' '.join(SUFFIXES)}")
    labels = tuple(label for label, paths in enumerate(by_class) for _ in paths)
    return Listing(tuple(flat or chain(*by_class)), labels, tuple(each.name for each in classes))


def read(paths: Sequence[Path], image_size: int | None) -> NDArray[np.uint8]:
    """uint8 [N, C, H, W], resized with antialiasing to `image_size` squared where it is given."""
    import numpy as np

    return np.stack(list(_decoded(paths, image_size)))


def glance(paths: Sequence[Path], image_size: int | None) -> int:
    """Read and forget: every file of a small folder, an evenly spread part of a large one; returns their channels."""
    total = sum(path.stat().st_size for path in paths)
    stride = max(-(-len(paths) // GLANCE_FILES), -(-total // GLANCE_BYTES), 1)
    return {len(pixels) for pixels in _decoded(paths[::stride], image_size)}.pop()


def natural(name: str) -> tuple[list[str | int], str]:
    """Sorting key: numbers inside a name count as numbers, upper and lower case as one."""
    pieces = re.split(r"(\d+)", name.casefold())
    return [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)], name


def children(folder: Path, *, files: bool) -> list[Path]:
    """The folders in a folder, or whatever else is there, in order."""
    found = [path for path in folder.iterdir() if not path.name.startswith((".", "__"))]
    return sorted((path for path in found if path.is_dir() is not files), key=lambda path: natural(path.name))


def images_in(folder: Path) -> list[Path]:
    return [path for path in children(folder, files=True) if path.suffix.lower() in SUFFIXES]


def _decoded(paths: Sequence[Path], image_size: int | None) -> Iterator[NDArray[np.uint8]]:
    """One uint8 [C, H, W] after the other, once the headers of all are seen to agree."""
    headers = [header(path) for path in paths]
    channels = _common_channels(paths, [mode for mode, _ in headers])
    if image_size is None:
        _require_one_size(paths, [size for _, size in headers])
    for path in paths:
        yield decode(path, channels, image_size)


def header(path: Path) -> tuple[str, tuple[int, int]]:
    """Mode and (width, height), without decoding; the checksums of a PNG are looked at, which decoding does not."""
    with _opened(path) as image:
        mode, size = image.mode, image.size
        if ";16" in str(getattr(image, "tile", "")):
            mode = f"{mode.partition(';')[0]};16"
        image.verify()
    return mode, size


def channels_of(path: Path, mode: str) -> int:
    if mode not in CHANNELS:
        raise InputError(f"{path}: found mode {mode}, legal: 8 bits per channel, grey, RGB or palette")
    return CHANNELS[mode]


def _common_channels(paths: Sequence[Path], modes: Sequence[str]) -> int:
    channels = [channels_of(path, mode) for path, mode in zip(paths, modes, strict=True)]
    if len(set(channels)) > 1:
        grey, colour = channels.index(1), channels.index(3)
        raise InputError(
            f"data.root: found {channels.count(1)} grey images ({paths[grey]}) and {channels.count(3)} RGB ones "
            f"({paths[colour]}), legal: all grey or all RGB"
        )
    return channels[0]


def _require_one_size(paths: Sequence[Path], sizes: Sequence[tuple[int, int]]) -> None:
    for path, size in zip(paths, sizes, strict=True):
        if size != sizes[0]:
            raise InputError(
                f"data.image_size: found null, but {paths[0]} is {sizes[0][0]}x{sizes[0][1]} and {path} is "
                f"{size[0]}x{size[1]}, legal: a size to resize them to"
            )


def decode(path: Path, channels: int, image_size: int | None) -> NDArray[np.uint8]:
    """uint8 [channels, H, W] of one file, in a square of `image_size` where it is given."""
    import numpy as np
    from PIL import Image, ImageOps

    with _opened(path) as image:
        picture = _on_white(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
    if image_size is not None:
        picture = picture.resize((image_size, image_size), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture, dtype=np.uint8)
    return pixels.reshape(picture.height, picture.width, channels).transpose(2, 0, 1)


@contextmanager
def _opened(path: Path) -> Iterator[Picture]:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
        with image:
            if getattr(image, "is_animated", False) and image.format != "MPO":  # a JPEG with a second view beside it
                raise ValueError("it is animated")
            yield image
    except Exception as error:
        raise _unreadable(path, error) from error


def _on_white(image: Picture) -> Picture:
    from PIL import Image

    if not image.has_transparency_data:
        return image
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(f"{path}: found an image that cannot be read ({reason}), legal: a whole PNG, JPEG, BMP or WebP")
