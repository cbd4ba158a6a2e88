"""What is in a folder, in natural order, without what is hidden: its folders, its images and its other files.

Local folders are read by `os.scandir`, which tells folders from files without a question for each. What is in them
has its path as a string: to make a `Path` of each file takes longer than all else, also when they are sent to others.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import NamedTuple

from genlib.data.decoding import file_size
from genlib.errors import escape_unprintable

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".tif", ".tiff")
OTHER_SUFFIXES = (".gif", ".avif", ".heic", ".heif", ".jxl", ".jp2")  # of images that are not read


_NUMBER = re.compile(r"(\d+)")


FilePath = str | Path  # of this machine, or behind a URL


class _Entry(NamedTuple):
    name: str
    path: FilePath
    is_folder: bool
    is_plain: bool  # a folder or a file, and no link


@dataclass(frozen=True)
class FolderScan:
    entries: list[_Entry]

    @cached_property
    def folders(self) -> list[Path]:
        return [_as_path(each.path) for each in self.entries if each.is_folder]

    @cached_property
    def images(self) -> list[FilePath]:
        """Raises InputError for one that is no file: a link to nothing, a FIFO, a device."""
        found = [each for each in self.entries if not each.is_folder and _is_image(each.name)]
        for each in found:
            if not each.is_plain:
                file_size(each.path)
        return [each.path for each in found]

    @cached_property
    def left_out(self) -> Counter[str]:
        """The other files, by the end of their names."""
        others = (PurePath(each.name) for each in self.entries if not each.is_folder and not _is_image(each.name))
        return Counter(escape_unprintable(name.suffix.lower()) or "without an ending" for name in others)


def scan_folder(folder: Path) -> FolderScan:
    entries = _scan_local(folder) if isinstance(folder, Path) else _scan_remote(folder)
    return FolderScan(sorted(entries, key=lambda each: natural_sort_key(each.name)))


def natural_sort_key(name: str) -> tuple[list[str | int], str]:
    """Sorting key: numbers inside a name count as numbers, upper and lower case as one."""
    pieces = _NUMBER.split(name.casefold())
    return [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)], name


def list_children(folder: Path, *, files: bool) -> list[Path]:
    """The folders in a folder, or whatever else is there, in order."""
    return [_as_path(each.path) for each in scan_folder(folder).entries if each.is_folder is not files]


def list_images(folder: Path) -> list[Path]:
    """Files that are images by their names, also of types that are not read."""
    return [path for path in list_children(folder, files=True) if path.suffix.lower() in SUFFIXES + OTHER_SUFFIXES]


def expected_endings() -> str:
    return f"files ending in {' '.join(SUFFIXES)}"


def _scan_local(folder: Path) -> list[_Entry]:
    with os.scandir(folder) as entries:
        return [
            _Entry(each.name, each.path, _is_folder(each), each.is_file(follow_symlinks=False))
            for each in entries
            if _is_shown(each.name)
        ]


def _scan_remote(folder: Path) -> list[_Entry]:
    return [_Entry(path.name, path, path.is_dir(), True) for path in folder.iterdir() if _is_shown(path.name)]


def _as_path(path: FilePath) -> Path:
    return Path(path) if isinstance(path, str) else path


def _is_shown(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is one, or a link to what may have been one: to list that fails, so that no class is lost unseen."""
    if not entry.is_symlink():
        return entry.is_dir()
    path = Path(entry.path)
    return path.is_dir() or (not path.suffix and not path.exists())


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)
