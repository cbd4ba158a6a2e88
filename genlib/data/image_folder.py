"""A folder of image files: what is in it, in which order, and its pixels.

    root/train/<class>/*.png  [root/test/<class>/*.png]      classes, with an official test set if there is `test`
    root/<class>/*.png                                       classes, no official test set
    root/[train/]*.png                                       no labels
    root/{trainA,trainB}/... [root/{testA,testB}/...]        two domains, each of them with or without classes

Order is natural and ignores case (`img2` before `IMG10`). Files of 8 bits per channel are read: grey (also bilevel) as
one channel, RGB and palette as three. Transparency becomes white, and the EXIF rotation is applied. Hidden files and
those without a suffix of an image are skipped; refused are images of other types, animations, images of more than
MAX_PIXELS, and what is no file: a link to nothing, a FIFO, a device.
"""

import os
import re
import stat
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from genlib.errors import InputError, escape_unprintable, one_line
from genlib.progress import track_progress

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp")
OTHER_SUFFIXES = (".tif", ".tiff", ".gif", ".avif", ".heic", ".heif", ".jxl", ".jp2")  # found, to be named and refused
FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
CHANNELS = {"1": 1, "L": 1, "LA": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3}
MAX_PIXELS = 2**26  # of one image
EXIF_ORIENTATION, EXIF_TURNS = 0x112, {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # to the numbers of Image.Transpose
PROBE_FILES, PROBE_BYTES = 2000, 32 * 2**20


class ImageFile(Protocol):
    """An image file, wherever it is; as a string, its name."""

    def open(self, mode: Literal["rb"], /) -> IO[bytes]: ...


class ImageFiles(Sized, Iterable[ImageFile], Protocol):
    """Image files in order, which can be iterated again."""


@dataclass(frozen=True)
class Listing:
    """Image files in order; `classes` are names and `labels` index into them, both empty for a set without labels;
    `probe`: the files that a check reads, all of a small set, a part of a large one."""

    files: ImageFiles
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    probe: ImageFiles

    def count_by_class(self) -> dict[str, int]:
        """Images by class; one entry with an empty name for a set without labels."""
        if not self.classes:
            return {"": len(self.files)}
        counts = Counter(self.labels)
        return {name: counts[label] for label, name in enumerate(self.classes)}


def find_listings(root: Path, where: str, domain: str = "") -> tuple[Listing, Listing | None]:
    """The train listing and, where `root/train` and `root/test` both are, the test listing; `domain` is the end of both
    names, A or B, in a folder that holds two; `where` is the key of `root`, for errors."""
    train, test = root / f"train{domain}", root / f"test{domain}"
    if not root.is_dir():
        raise InputError(f"{where}: got no folder {root}, expected a folder of images")
    if domain and not train.is_dir():
        raise InputError(f"{where}: got no folder {train}, expected a folder with trainA and trainB [testA testB]")
    if not train.is_dir():
        return list_folder(root, where), None
    listings = list_folder(train, where), list_folder(test, where) if test.is_dir() else None
    if listings[1] and listings[1].classes != listings[0].classes:
        found, expected = (list(each.classes) for each in (listings[1], listings[0]))
        raise InputError(f"{where}: got classes {found} in {test}, expected those of {train}, {expected}")
    return listings


def list_folder(folder: Path, where: str) -> Listing:
    """The images of one folder: of its sub-folders, which are the classes, or its own."""
    flat, classes = list_images(folder), list_children(folder, files=False)
    if flat and classes:
        found = f"images ({flat[0].name}) beside folders ({classes[0].name}) in {folder}"
        raise InputError(f"{where}: got {found}, expected one folder per class, or images only")
    by_class = [list_images(each) for each in classes]
    places = {os.path.realpath(str(each)): each.name for each in classes}
    for each in classes:
        if (other := places[os.path.realpath(str(each))]) != each.name:
            raise InputError(f"{where}: got {each} and {other}, which are one folder by links, expected one per class")
    for inner in (inner for each in classes for inner in list_children(each, files=False)):
        if list_images(inner):
            raise InputError(f"{where}: got images in {inner}, in the folder of a class, expected none below that")
    empty = [each for each, paths in zip(classes, by_class, strict=True) if not paths]
    if empty := empty or [folder] * (not flat and not classes):
        raise InputError(f"{where}: got no images in {empty[0]}, expected files ending in {' '.join(SUFFIXES)}")
    labels = tuple(label for label, paths in enumerate(by_class) for _ in paths)
    paths = flat or [*chain(*by_class)]
    num_bytes = sum(map(file_size, paths))
    probe = paths[:: max(-(-len(paths) // PROBE_FILES), -(-num_bytes // PROBE_BYTES), 1)]
    return Listing(paths, labels, tuple(escape_unprintable(each.name) for each in classes), probe)


def read_images(files: ImageFiles, image_size: int | None) -> NDArray[np.uint8]:
    """uint8 [N, C, H, W], resized with antialiasing to `image_size` squared where it is given."""
    from genlib.data.images import allocate_pixels

    decoded = _decode_all([files], image_size)
    first = next(decoded)
    pixels: NDArray[np.uint8] = allocate_pixels(len(files), first.shape).numpy()
    for row, image in zip(pixels, chain([first], decoded), strict=True):
        row[:] = image
    return pixels


def read_common_channels(sets: Sequence[ImageFiles], image_size: int | None) -> int:
    """The channels that all files have, once each is read."""
    return {len(pixels) for pixels in _decode_all(sets, image_size)}.pop()


def natural_sort_key(name: str) -> tuple[list[str | int], str]:
    """Sorting key: numbers inside a name count as numbers, upper and lower case as one."""
    pieces = re.split(r"(\d+)", name.casefold())
    return [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)], name


def list_children(folder: Path, *, files: bool) -> list[Path]:
    """The folders in a folder, or whatever else is there, in order."""
    shown = [path for path in folder.iterdir() if not path.name.startswith(".") and path.name != "__MACOSX"]
    found = [path for path in shown if _is_folder(path) is not files]
    return sorted(found, key=lambda path: natural_sort_key(path.name))


def _is_folder(path: Path) -> bool:
    """Whether it is one, or a link to what may have been one: to list that fails, so that no class is lost unseen."""
    return path.is_dir() or (not path.suffix and path.is_symlink() and not path.exists())


def list_images(folder: Path) -> list[Path]:
    return [path for path in list_children(folder, files=True) if path.suffix.lower() in SUFFIXES + OTHER_SUFFIXES]


def file_size(path: Path) -> int:
    """In bytes. Raises InputError for what is no file, as a link to nothing or a FIFO: to open one may never return."""
    try:
        found = path.stat()
    except OSError as error:
        what = "a link to nothing" if path.is_symlink() else f"a file that cannot be read ({error.strerror})"
        raise InputError(f"{path}: got {what}, expected a file") from error
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: got a folder, a FIFO or a device, expected a file")
    return found.st_size


def _decode_all(sets: Sequence[ImageFiles], image_size: int | None) -> Iterator[NDArray[np.uint8]]:
    """One uint8 [C, H, W] after the other, once the headers of all are seen to agree."""
    total, first = sum(map(len, sets)), ""
    modes = {str(file): read_mode(file) for file in track_progress(chain(*sets), "looking at images", total)}
    channels = _require_same_channels({name: mode_to_channels(name, mode) for name, mode in modes.items()})
    for file in track_progress(chain(*sets), "reading images", total):
        pixels = decode_image(file, channels, image_size)
        if not first:
            first, shape = str(file), pixels.shape
        if pixels.shape != shape:
            found = f"{first} is {shape[2]}x{shape[1]} and {file} is {pixels.shape[2]}x{pixels.shape[1]}"
            raise InputError(f"data.image_size: got null, but {found}, expected a size to resize them to")
        yield pixels


def read_mode(file: ImageFile) -> str:
    """Its mode, without decoding; the checksums of a PNG are verified, which decoding does not."""
    with _open_image(file) as image:
        mode = str(image.mode)
        if ";16" in str(getattr(image, "tile", "")):
            mode = f"{mode.partition(';')[0]};16"
        image.verify()
    return mode


def mode_to_channels(name: str, mode: str) -> int:
    if mode not in CHANNELS:
        raise InputError(f"{name}: got mode {mode}, expected 8 bits per channel, grey, RGB or palette")
    return CHANNELS[mode]


def _require_same_channels(channels: Mapping[str, int]) -> int:
    grey, colour = ([name for name, count in channels.items() if count == each] for each in (1, 3))
    if grey and colour:
        found = f"{len(grey)} grey images ({grey[0]}) and {len(colour)} RGB ones"
        raise InputError(f"{colour[0]}: got {found}, expected all grey or all RGB")
    return 1 if grey else 3


def decode_image(file: ImageFile, channels: int, image_size: int | None) -> NDArray[np.uint8]:
    """uint8 [channels, H, W] of one file, in a square of `image_size` where it is given."""
    from PIL import Image

    with _open_image(file) as image:
        image.load()
        try:
            turn = EXIF_TURNS.get(image.getexif().get(EXIF_ORIENTATION))
        except Exception:  # Pillow raises what comes: bad metadata cost no image
            turn = None
        picture = image if turn is None else image.transpose(Image.Transpose(turn))
        if picture.has_transparency_data:
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
        picture = picture.convert("L" if channels == 1 else "RGB")
    if image_size is not None:
        picture = picture.resize((image_size, image_size), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture, dtype=np.uint8)
    return pixels.reshape(picture.height, picture.width, channels).transpose(2, 0, 1)


@contextmanager
def _open_image(file: ImageFile) -> Iterator[Any]:
    from PIL import Image

    if isinstance(file, Path):
        file_size(file)
    try:
        with file.open("rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream, formats=FORMATS) as image:
                if getattr(image, "is_animated", False) and image.format != "MPO":  # a JPEG with a second view
                    raise ValueError("it is animated")
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(f"{image.width} x {image.height} are more than {MAX_PIXELS:,} pixels")
                yield image
    except Exception as error:  # Pillow's plugins raise what comes
        found = f"an image that cannot be read ({one_line(error).partition(' <')[0]})"
        raise InputError(f"{file}: got {found}, expected a whole PNG, JPEG, BMP or WebP") from error
