"""Sets of images from anywhere, of any sizes: a folder of any depth, an `.npz` or a `.safetensors` file.

    root/[.../]*.png              no labels
    root/[.../]<class>/[.../]*    classes: the folders of the first level that has more than one, and no images
    *.npz, *.safetensors          `pixels`, `images` or `arr_0` [N, C, H, W], [N, H, W, C] or [N, H, W], of uint8 or of
                                  floats in [0, 1] or [-1, 1]; `labels` [N], whole numbers, where there are any

Nothing is unpickled. Unreadable files and folders are skipped and reported; each folder is read once, whatever links to
it.
"""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from genlib.data import decoding, folder_scan
from genlib.data.arrays import read_arrays
from genlib.data.images import Images, StoredImages, resize
from genlib.data.pixels import (
    PIECE_BYTES,
    Pixels,
    PixelSpool,
    StoredPixels,
    hold_if_small,
    iter_pieces,
    store_pixels,
)
from genlib.errors import InputError, escape_unprintable, one_line

Shape = tuple[int, int, int]
ProgressWrapper = Callable[[Sequence[Path]], Iterable[Path]]  # the same paths, with a progress bar

PIXEL_KEYS = ("pixels", "images", "arr_0")
EXPECTED = "a folder of images, an .npz or a .safetensors file"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
RANGE_TOLERANCE = 1e-3  # how far floats may pass the ends of their range
MAX_LOWEST = -0.25  # of floats in [-1, 1]; what lies between, as of a resized image in [0, 1], is not guessed at


@dataclass(frozen=True)
class ImageSet:
    """`pixels`: uint8 [C, H, W] each, of any sizes, in memory or in a file; `labels` index into `classes`, both may be
    empty; `skipped`: why files that could not be read were left out; `values`: how the numbers of an array were read.
    """

    source: str
    pixels: Pixels | PixelSpool
    labels: Sequence[int] = ()
    classes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    values: str = ""

    def __len__(self) -> int:
        return len(self.pixels)

    def count_shapes(self) -> Counter[Shape]:
        """How many images of each shape (C, H, W) there are."""
        if isinstance(self.pixels, PixelSpool):
            return Counter(self.pixels.shapes)
        channels, height, width = self.pixels.shape[1:]
        return Counter({(channels, height, width): len(self)})

    def count_other_shapes(self, shape: Shape) -> int:
        return len(self) - self.count_shapes()[shape]

    def batch_rows(self, rows: Tensor, size: int) -> list[Tensor]:
        """`rows` in batches of at most `size` images of one shape."""
        if not isinstance(self.pixels, PixelSpool):
            return list(torch.split(rows, size))
        by_shape: dict[Shape, list[int]] = {}
        for row in rows.tolist():
            by_shape.setdefault(self.pixels.shapes[row], []).append(row)
        return [batch for each in by_shape.values() for batch in torch.split(torch.tensor(each), size)]

    def stack(self, rows: Tensor) -> Tensor:
        """uint8 [n, C, H, W] of images of one shape."""
        if isinstance(self.pixels, PixelSpool):
            return torch.stack([self.pixels[row] for row in rows.tolist()])
        return self.pixels[rows]

    def resized_to(self, shape: Shape, classes: Sequence[str] = ()) -> StoredImages:
        """All of them, converted and resized to one shape; labels index into `classes`, and are None where that lacks
        one of theirs."""
        pixels = self._fitted_to(shape)
        if not self.classes or not set(self.classes) <= set(classes):
            return StoredImages(pixels)
        return StoredImages(pixels, torch.tensor([classes.index(self.classes[label]) for label in self.labels]))

    def _fitted_to(self, shape: Shape) -> Pixels:
        if self.count_other_shapes(shape):
            return store_pixels((_fit_pixels(each, shape) for each in self._iter_pieces(shape)), (len(self), *shape))
        return self.pixels.as_pixels() if isinstance(self.pixels, PixelSpool) else self.pixels

    def _iter_pieces(self, shape: Shape) -> Iterator[list[Tensor]]:
        """The images in order, in lists that have about PIECE_BYTES as they are, or in `shape`."""
        images, num_bytes = [], 0
        for row in range(len(self)):
            images.append(self.pixels[row])
            num_bytes += max(images[-1].numel(), math.prod(shape))
            if num_bytes >= PIECE_BYTES:
                yield images
                images, num_bytes = [], 0
        yield images


def _fit_pixels(images: Sequence[Tensor], shape: Shape) -> Tensor:
    """uint8 [n, *shape] of images [C, H, W] of any shapes; those of one shape are resized at once."""
    by_shape: dict[torch.Size, list[int]] = {}
    for row, pixels in enumerate(images):
        by_shape.setdefault(pixels.shape, []).append(row)
    fitted = torch.empty(len(images), *shape, dtype=torch.uint8)
    for rows in by_shape.values():
        some = Images(convert_channels(torch.stack([images[row] for row in rows]), shape[0]))
        fitted[rows] = resize(some, *shape[1:]).pixels
    return fitted


def all_classes(sets: Iterable[ImageSet]) -> tuple[str, ...]:
    return tuple(sorted({name for each in sets for name in each.classes}, key=folder_scan.natural_sort_key))


def convert_channels(pixels: Tensor, channels: int) -> Tensor:
    """uint8 [N, C, H, W] with so many channels: grey repeated, or the luma of RGB (ITU-R 601-2, as Pillow rounds)."""
    if pixels.shape[1] == channels:
        return pixels
    if channels == 3:
        return pixels.expand(-1, 3, -1, -1)
    red, green, blue = pixels.to(torch.int32).unbind(1)
    return ((19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16).to(torch.uint8)[:, None]


def read_image_set(
    path: Path, where: str, *, size: int | None = None, strict: bool = False, track: ProgressWrapper = iter
) -> ImageSet:
    """The images at `path`; `where` names the option it came from, `size` is a side that each image is resized to.
    Raises InputError where nothing is there, nothing in it can be read, or, if `strict`, one file cannot."""
    try:
        if path.is_dir():
            return _read_folder(path, where, size, strict, track)
        if not path.is_file():
            raise InputError(f"{where}: got nothing at {path}, expected {EXPECTED}")
    except OSError as error:
        raise InputError(f"{where}: got what cannot be read ({error}), expected {EXPECTED}") from error
    if path.suffix.lower() not in (".npz", ".safetensors"):
        raise InputError(f"{where}: got the file {path}, expected {EXPECTED}")
    arrays = read_arrays(path, (*PIXEL_KEYS, "labels"), EXPECTED)
    named = [name for name in PIXEL_KEYS if name in arrays]
    if not named:
        found, expected = ", ".join(arrays)[:200] or "nothing", f"images called {' or '.join(PIXEL_KEYS)}"
        raise InputError(f"{path}: got {found}, expected {expected}")
    images = image_set_from_array(arrays[named[0]], f"{path}, {named[0]}", arrays.get("labels"))
    return replace(images, source=escape_unprintable(path))


def image_set_from_array(pixels: Any, where: str, labels: Any = None) -> ImageSet:
    """Images from an array-like in one of the forms of the module docstring; raises InputError for another."""
    values = _to_rows(pixels, where)
    arrange = _choose_layout(values, where)
    to_uint8, reading = _choose_conversion(values, where)
    numbers = [] if labels is None else _parse_labels(_to_rows(labels, where)[:], len(values), where)
    present = sorted(set(numbers))
    classes = tuple(map(str, present))
    shape = arrange(values[:1]).shape[1:]
    if values.dtype != torch.uint8 or values.shape[1:] != shape:
        values = store_pixels((to_uint8(arrange(piece)) for piece in iter_pieces(values)), (len(values), *shape))
    return ImageSet(where, values, [present.index(number) for number in numbers], classes, values=reading)


def _to_rows(array: Any, where: str) -> Pixels:
    try:
        if isinstance(array, Tensor):
            return array.detach().cpu()
        if isinstance(array, StoredPixels):
            return hold_if_small(array)
        values = np.array(array)
        return torch.from_numpy(values.astype(values.dtype.newbyteorder("="), copy=False))
    except (TypeError, ValueError) as error:
        found = f"what is no array of numbers ({one_line(error)})"
        raise InputError(f"{where}: got {found}, expected uint8 or floats") from error


def _choose_layout(values: Pixels, where: str) -> Callable[[Tensor], Tensor]:
    """How a piece of `values` becomes [n, C, H, W]."""
    shape = list(values.shape)
    is_grey = len(shape) == 3 and (shape[2] not in (1, 3, 4) or shape[1] == shape[2])  # not one image
    if is_grey:
        shape.insert(1, 1)
    if len(shape) != 4 or 0 in shape or not {1, 3} & {shape[1], shape[3]}:
        raise InputError(f"{where}: got shape {shape}, expected [N, C, H, W] or [N, H, W, C], C 1 or 3")
    if is_grey:
        return lambda piece: piece[:, None]
    return (lambda piece: piece) if shape[1] in (1, 3) else lambda piece: piece.permute(0, 3, 1, 2)


def _choose_conversion(values: Pixels, where: str) -> tuple[Callable[[Tensor], Tensor], str]:
    """How uint8, or floats in [0, 1] or [-1, 1], become uint8, and how they are read in words."""
    dtype = str(values.dtype).removeprefix("torch.")
    if values.dtype != torch.uint8 and values.dtype not in FLOATS:
        raise InputError(f"{where}: got {dtype}, expected uint8 or floats")
    low, high = _find_range(values, where)
    reading = f"{len(values)} images {list(values.shape[1:])} of {dtype} from {low:.4g} to {high:.4g}, read as"
    if values.dtype == torch.uint8:
        return lambda piece: piece, f"{reading} 0 to 255"
    is_unit = low >= -RANGE_TOLERANCE
    if not (is_unit or -1 - RANGE_TOLERANCE <= low <= MAX_LOWEST) or high > 1 + RANGE_TOLERANCE:
        expected = f"in [0, 1] or [-1, 1] within {RANGE_TOLERANCE}; clip or scale them"
        raise InputError(f"{where}: got floats from {low:.4g} to {high:.4g}, expected {expected}")
    return partial(_floats_to_uint8, is_unit=is_unit), f"{reading} {'[0, 1]' if is_unit else '[-1, 1]'}"


def _find_range(values: Pixels, where: str) -> tuple[float, float]:
    """The lowest and the highest number, which must be finite."""
    low, high, strange = math.inf, -math.inf, 0
    for piece in iter_pieces(values):
        low, high = min(low, float(piece.min())), max(high, float(piece.max()))
        strange += int((~piece.flatten(1).isfinite().all(1)).sum()) if piece.is_floating_point() else 0
    if strange:
        raise InputError(f"{where}: got NaN or infinity in {strange} of {len(values)} images, expected finite numbers")
    return low, high


def _floats_to_uint8(piece: Tensor, *, is_unit: bool) -> Tensor:
    unit = piece.double() if is_unit else (piece.double() + 1) / 2
    return (unit * 255).round_().clamp_(0, 255).to(torch.uint8)


def _parse_labels(values: Tensor, n: int, where: str) -> list[int]:
    whole = not values.is_floating_point() and not values.is_complex()
    if values.shape != (n,) or not whole or min(values.tolist()) < 0:
        expected = f"{n} whole numbers from 0"
        raise InputError(f"{where}: got labels of shape {list(values.shape)}, {values.dtype}, expected {expected}")
    return [int(number) for number in values]


def _read_folder(folder: Path, where: str, size: int | None, strict: bool, track: ProgressWrapper) -> ImageSet:
    skipped: list[str] = []
    tree = _read_tree(folder, os.path.realpath(folder), set(), skipped)
    if strict and skipped:
        raise InputError(skipped[0])
    while not tree.images and len(tree.inner) == 1:
        tree = tree.inner[0]
    paths = tree.list_all()
    if not paths:
        found = "; ".join([f"no images in {folder}", *skipped[:1]])
        raise InputError(f"{where}: got {found}, expected files ending in {' '.join(folder_scan.SUFFIXES)}")
    classes = () if tree.images else tree.inner
    labels = [label for label, each in enumerate(classes) for _ in each.list_all()]
    pixels, kept = PixelSpool(), []
    for row, path in enumerate(track(paths)):
        try:
            pixels.append(torch.from_numpy(decoding.decode_image(path, size)))
            kept.append(row)
        except InputError as error:
            if strict:
                raise
            skipped.append(str(error))
    if not kept:
        raise InputError(f"{where}: got no readable images among {len(paths)} files; {skipped[0]}")
    numbers = [labels[row] for row in kept] if labels else ()
    names = tuple(escape_unprintable(each.folder.name) for each in classes)
    return ImageSet(escape_unprintable(folder), pixels, numbers, names, tuple(skipped))


class _Tree(NamedTuple):
    """A folder: the image files in it, and the folders in it that hold some at any depth."""

    folder: Path
    images: Sequence[Path] = ()
    inner: Sequence["_Tree"] = ()

    def list_all(self) -> list[Path]:
        return [*self.images, *(path for each in self.inner for path in each.list_all())]


def _read_tree(folder: Path, root: str, seen: set[str], skipped: list[str]) -> _Tree:
    """Every real folder once, at its own place where that is below `root`; what is left out is added to `skipped`."""
    seen.add(os.path.realpath(folder))
    inner = []
    try:
        images, folders = folder_scan.list_images(folder), folder_scan.list_children(folder, files=False)
    except OSError as error:
        skipped.append(escape_unprintable(f"{folder}: got a folder that cannot be read ({error.strerror})"))
        return _Tree(folder)
    for each in folders:
        target = os.path.realpath(each)
        is_nested = Path(target).is_relative_to(root) or Path(root).is_relative_to(target)
        if target in seen or (each.is_symlink() and is_nested):
            skipped.append(escape_unprintable(f"{each}: got a link to a folder that is read elsewhere"))
        else:
            inner.append(_read_tree(each, root, seen, skipped))
    return _Tree(folder, images, [each for each in inner if each.images or each.inner])
