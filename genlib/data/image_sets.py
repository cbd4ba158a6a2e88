"""Sets of images from anywhere, of any sizes: a folder of any depth, an `.npz` or a `.safetensors` file.

    root/[.../]*.png              no labels
    root/[.../]<class>/[.../]*    classes: the folders of the first level that has more than one, and no images
    *.npz, *.safetensors          `pixels`, `images` or `arr_0` [N, C, H, W], [N, H, W, C] or [N, H, W], of uint8 or of
                                  floats in [0, 1] or [-1, 1]; `labels` [N], whole numbers, where there are any

Nothing is unpickled. Unreadable files of a folder are skipped and reported.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genlib.data import image_folder
from genlib.data.images import Images, resize
from genlib.errors import InputError, one_line

Shape = tuple[int, int, int]
ProgressWrapper = Callable[[Sequence[Path]], Iterable[Path]]  # the same paths, with a progress bar

PIXEL_KEYS = ("pixels", "images", "arr_0")
EXPECTED = "a folder of images, an .npz or a .safetensors file"
RANGE_TOLERANCE = 1e-3  # how far floats may pass the ends of their range
CHUNK = 1024


@dataclass(frozen=True)
class ImageSet:
    """`pixels`: uint8 [C, H, W] each, of any sizes; `labels` index into `classes`, both may be empty; `skipped`: why
    files that could not be read were left out."""

    source: str
    pixels: Sequence[Tensor]
    labels: Sequence[int] = ()
    classes: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    def count_other_shapes(self, shape: Shape) -> int:
        return sum(pixels.shape != shape for pixels in self.pixels)

    def resized_to(self, shape: Shape, classes: Sequence[str] = ()) -> Images:
        """All of them, converted and resized to one shape; labels index into `classes`, and are None where that lacks
        one of theirs."""
        by_shape: dict[torch.Size, list[int]] = {}
        for row, pixels in enumerate(self.pixels):
            by_shape.setdefault(pixels.shape, []).append(row)
        fitted = torch.empty(len(self), *shape, dtype=torch.uint8)
        for rows in by_shape.values():
            for part in torch.split(torch.tensor(rows), CHUNK):
                some = Images(convert_channels(torch.stack([self.pixels[row] for row in part.tolist()]), shape[0]))
                fitted[part] = resize(some, *shape[1:]).pixels
        if not self.classes or not set(self.classes) <= set(classes):
            return Images(fitted)
        return Images(fitted, torch.tensor([classes.index(self.classes[label]) for label in self.labels]))


def all_classes(sets: Iterable[ImageSet]) -> tuple[str, ...]:
    return tuple(sorted({name for each in sets for name in each.classes}, key=image_folder.natural_sort_key))


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
    if path.is_dir():
        return _read_folder(path, where, size, strict, track)
    if not path.is_file():
        raise InputError(f"{where}: got nothing at {path}, expected {EXPECTED}")
    if path.suffix.lower() not in (".npz", ".safetensors"):
        raise InputError(f"{where}: got the file {path}, expected {EXPECTED}")
    arrays = _load_arrays(path)
    named = [name for name in PIXEL_KEYS if name in arrays]
    if not named:
        found, expected = ", ".join(arrays) or "nothing", f"images called {' or '.join(PIXEL_KEYS)}"
        raise InputError(f"{path}: got {found}, expected {expected}")
    images = image_set_from_array(arrays[named[0]], f"{path}, {named[0]}", arrays.get("labels"))
    return replace(images, source=str(path))


def image_set_from_array(pixels: Any, where: str, labels: Any = None) -> ImageSet:
    """Images from an array-like in one of the forms of the module docstring; raises InputError for another."""
    values = _to_tensor(pixels, where)
    if values.ndim == 3:
        values = values[:, None]
    if values.ndim != 4 or 0 in values.shape or not {1, 3} & {values.shape[1], values.shape[3]}:
        raise InputError(f"{where}: got shape {list(values.shape)}, expected [N, C, H, W] or [N, H, W, C], C 1 or 3")
    if values.shape[1] not in (1, 3):
        values = values.permute(0, 3, 1, 2)
    if values.dtype != torch.uint8:
        values = _floats_to_uint8(values, where)
    numbers = [] if labels is None else _parse_labels(_to_tensor(labels, where), len(values), where)
    present = sorted(set(numbers))
    return ImageSet(where, values.unbind(), [present.index(number) for number in numbers], tuple(map(str, present)))


def _to_tensor(array: Any, where: str) -> Tensor:
    try:
        return array.detach().cpu() if isinstance(array, Tensor) else torch.from_numpy(np.array(array))
    except (TypeError, ValueError) as error:
        found = f"what is no array of numbers ({one_line(error)})"
        raise InputError(f"{where}: got {found}, expected uint8 or floats") from error


def _floats_to_uint8(values: Tensor, where: str) -> Tensor:
    """Floats in [0, 1] or, where any is negative, [-1, 1] to uint8."""
    if not values.is_floating_point():
        raise InputError(f"{where}: got {str(values.dtype).removeprefix('torch.')}, expected uint8 or floats")
    strange = int((~values.flatten(1).isfinite().all(1)).sum())
    if strange:
        raise InputError(f"{where}: got NaN or infinity in {strange} of {len(values)} images, expected finite numbers")
    low, high = float(values.min()), float(values.max())
    if low < -1 - RANGE_TOLERANCE or high > 1 + RANGE_TOLERANCE:
        raise InputError(f"{where}: got floats from {low:.4g} to {high:.4g}, expected in [0, 1] or [-1, 1]")
    unit = (values.double() + 1) / 2 if low < 0 else values.double()
    return unit.mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def _parse_labels(values: Tensor, n: int, where: str) -> list[int]:
    whole = not values.is_floating_point() and not values.is_complex()
    if values.shape != (n,) or not whole or int(values.min()) < 0:
        expected = f"{n} whole numbers from 0"
        raise InputError(f"{where}: got labels of shape {list(values.shape)}, {values.dtype}, expected {expected}")
    return [int(number) for number in values]


def _load_arrays(path: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    try:
        if path.suffix.lower() == ".safetensors":
            return dict(load_file(path))
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] if name in (*PIXEL_KEYS, "labels") else None for name in stored.files}
    except Exception as error:  # zip, zlib, NumPy and safetensors each have their own
        raise InputError(f"{path}: got a file that cannot be read ({one_line(error)}), expected {EXPECTED}") from error


def _read_folder(folder: Path, where: str, size: int | None, strict: bool, track: ProgressWrapper) -> ImageSet:
    try:
        paths, labels, classes = _list_with_classes(folder)
    except OSError as error:
        raise InputError(f"{where}: got a folder that cannot be read ({error}), expected {EXPECTED}") from error
    if not paths:
        raise InputError(
            f"{where}: got no images in {folder}, expected files ending in {' '.join(image_folder.SUFFIXES)}"
        )
    pixels, kept, skipped = [], [], []
    for row, path in enumerate(track(paths)):
        try:
            channels = image_folder.mode_to_channels(str(path), image_folder.read_header(path)[0])
            pixels.append(torch.from_numpy(np.array(image_folder.decode_image(path, channels, size))))
            kept.append(row)
        except InputError as error:
            if strict:
                raise
            skipped.append(str(error))
    if not pixels:
        raise InputError(f"{where}: got no readable images among {len(paths)} files; {skipped[0]}")
    return ImageSet(str(folder), pixels, [labels[row] for row in kept] if labels else (), classes, tuple(skipped))


def _list_with_classes(folder: Path) -> tuple[list[Path], list[int], tuple[str, ...]]:
    while not (here := image_folder.list_images(folder)) and len(inner := _folders_with_images(folder)) == 1:
        folder = inner[0]
    if here or not inner:
        return _list_recursively(folder), [], ()
    by_class = [_list_recursively(each) for each in inner]
    labels = [label for label, paths in enumerate(by_class) for _ in paths]
    return [path for paths in by_class for path in paths], labels, tuple(each.name for each in inner)


def _folders_with_images(folder: Path) -> list[Path]:
    """The folders in a folder that hold an image at some depth, but for links to what they lie in."""
    inner = [
        each
        for each in image_folder.list_children(folder, files=False)
        if not folder.resolve().is_relative_to(each.resolve())
    ]
    return [each for each in inner if image_folder.list_images(each) or _folders_with_images(each)]


def _list_recursively(folder: Path) -> list[Path]:
    return [
        *image_folder.list_images(folder),
        *(path for each in _folders_with_images(folder) for path in _list_recursively(each)),
    ]
