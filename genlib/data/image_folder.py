"""A folder of image files: what is in it and in which order.

    root/train/<class>/*.png  [root/test/<class>/*.png]      classes, with an official test set if there is `test`
    root/<class>/*.png                                       classes, no official test set
    root/[train/]*.png                                       no labels
    root/{trainA,trainB}/... [root/{testA,testB}/...]        two domains, each of them with or without classes

Order is natural and ignores case (`img2` before `IMG10`). Hidden files are skipped. Files without a suffix of those
that are read are left out and counted.
"""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Protocol

from genlib.data.decoding import ImageFile, file_size
from genlib.data.folder_scan import FilePath, expected_endings, list_images, scan_folder
from genlib.errors import InputError, MissingDataError, escape_unprintable

PROBE_FILES, PROBE_BYTES = 500, 32 * 2**20


class ImageFiles(Sized, Iterable[ImageFile], Protocol):
    """Image files in order, which can be iterated again."""


@dataclass(frozen=True)
class Listing:
    """Image files in order; `classes` are names and `labels` index into them, both empty for a set without labels;
    `probe`: the files that a check reads, all of a small set, a part of a large one; `paths`: the files on the disk;
    `file_bytes`: of an image file, about; `left_out`: how many other files there are, by the end of their name."""

    files: ImageFiles
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    probe: ImageFiles
    paths: Sequence[FilePath]
    file_bytes: int
    left_out: Mapping[str, int] = field(default_factory=dict)

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
    require_folder(root, where, f"a folder of {expected_endings()}")
    if domain and not train.is_dir():
        raise InputError(f"{where}: got no folder {train}, expected a folder with trainA and trainB [testA testB]")
    if not train.is_dir():
        return list_folder(root, where), None
    listings = list_folder(train, where), list_folder(test, where) if test.is_dir() else None
    if listings[1] and listings[1].classes != listings[0].classes:
        found, expected = (list(each.classes) for each in (listings[1], listings[0]))
        raise InputError(f"{where}: got classes {found} in {test}, expected those of {train}, {expected}")
    return listings


def require_folder(root: Path, where: str, expected: str) -> None:
    """Raise InputError where `root` is no folder, MissingDataError where it holds nothing or is not there."""
    if root.is_dir():
        if not scan_folder(root).entries:
            raise MissingDataError(f"{where}: got no images in {root}, which is empty, expected {expected}")
    elif root.exists():
        raise InputError(f"{where}: got the file {root}, expected {expected}")
    else:
        what = "a link to nothing" if isinstance(root, Path) and root.is_symlink() else "no folder"
        raise MissingDataError(f"{where}: got {what} {root}, expected {expected}")


def list_folder(folder: Path, where: str) -> Listing:
    """The images of one folder: of its sub-folders, which are the classes, or its own."""
    here = scan_folder(folder)
    if here.images and here.folders:
        found = f"images ({PurePath(str(here.images[0])).name}) beside folders ({here.folders[0].name}) in {folder}"
        raise InputError(f"{where}: got {found}, expected one folder per class, or images only")
    classes = {each: scan_folder(each) for each in here.folders}
    _require_distinct(here.folders, where)
    for inner in (inner for each in classes.values() for inner in each.folders):
        if list_images(inner):
            raise InputError(f"{where}: got images in {inner}, in the folder of a class, expected none below that")
    for each, content in (classes or {folder: here}).items():
        if not content.images:
            beside = f" ({format_left_out(content.left_out)})" if content.left_out else ""
            raise InputError(f"{where}: got no images in {each}{beside}, expected {expected_endings()}")
    labels = tuple(label for label, each in enumerate(classes.values()) for _ in each.images)
    paths = here.images or [path for each in classes.values() for path in each.images]
    names = tuple(escape_unprintable(each.name) for each in classes)
    left_out = sum((each.left_out for each in (here, *classes.values())), Counter[str]())
    some = paths[:: -(-len(paths) // PROBE_FILES)]
    num_bytes = sum(map(file_size, some))
    probe = some[:: max(-(-num_bytes // PROBE_BYTES), 1)]
    return Listing(paths, labels, names, probe, paths, num_bytes // len(some), left_out)


def format_left_out(counts: Mapping[str, int]) -> str:
    """{".txt": 1, ".mp4": 3} -> "3 .mp4, 1 .txt"; of many endings the five most frequent."""
    frequent = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    rest = sum(count for _, count in frequent[5:])
    named = [f"{count} {ending}" for ending, count in frequent[:5]]
    return ", ".join(named + [f"{rest} others"] * (rest > 0))


def _require_distinct(classes: Sequence[Path], where: str) -> None:
    """Raise InputError for two classes that are one folder by links: its images would have two labels."""
    places = {os.path.realpath(str(each)): each.name for each in classes}
    for each in classes:
        if (other := places[os.path.realpath(str(each))]) != each.name:
            raise InputError(f"{where}: got {each} and {other}, which are one folder by links, expected one per class")
