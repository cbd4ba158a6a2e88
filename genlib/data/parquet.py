"""A folder of Parquet files that hold images, as the sets of Hugging Face do.

    root/[data/]train-*.parquet [root/[data/]test-*.parquet]      an official test set, if there is `test`
    root/[data/]*.parquet                                         none

The column `image` (or `img`) holds whole image files, as bytes or as `{bytes, path}`; the optional `label` holds names
or numbers, whose names may be in the file's metadata. Files are read in natural order, a batch of rows at a time.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from genlib.data.decoding import file_size
from genlib.data.folder_scan import list_children, natural_sort_key
from genlib.data.image_folder import Listing, require_folder
from genlib.errors import InputError, one_line

IMAGE_COLUMNS, LABEL_COLUMN = ("image", "img"), "label"
BATCH_ROWS = 64  # that are read at a time, and looked at in every file before any is read
EXPECTED = "a folder of .parquet files, with a column image of PNG or JPEG files"


@dataclass(frozen=True)
class ParquetImage:
    path: Path
    row: int
    data: bytes

    def __str__(self) -> str:
        return f"{self.path}, row {self.row}"

    def open(self, mode: Literal["rb"], /) -> BytesIO:
        return BytesIO(self.data)


@dataclass(frozen=True)
class ParquetImages:
    """The image files of the first `max_rows` rows of each of `paths`; read anew at every iteration."""

    paths: tuple[Path, ...]
    max_rows: int = sys.maxsize

    def __len__(self) -> int:
        return sum(min(_count_rows(path), self.max_rows) for path in self.paths)

    def __iter__(self) -> Iterator[ParquetImage]:
        for path in self.paths:
            yield from islice(_iterate_images(path), self.max_rows)


def find_listings(root: Path, where: str) -> tuple[Listing, Listing | None]:
    """The train listing and, where there are files for both, the test listing."""
    paths = _find_parquet_files(root, where)
    parts = [tuple(path for path in paths if path.name.startswith(part)) for part in ("train", "test")]
    if not all(parts):
        parts = [parts[0] or parts[1] or paths]
    labels = {path: _read_labels(path) for part in parts for path in part}
    (first, (expected, _)), *_ = labels.items()
    for path, (kind, _) in labels.items():
        if kind != expected:
            raise InputError(f"{path}: got {kind}, expected {expected}, as in {first}")
    classes = tuple(sorted({label for _, names in labels.values() for label in names}, key=natural_sort_key))
    place = {name: at for at, name in enumerate(classes)}
    numbers = (tuple(place[name] for path in part for name in labels[path][1]) for part in parts)
    train, *test = (
        Listing(ParquetImages(part), each, classes, ParquetImages(part, BATCH_ROWS), part, _mean_bytes(part))
        for part, each in zip(parts, numbers, strict=True)
    )
    return train, test[0] if test else None


def _mean_bytes(paths: Sequence[Path]) -> int:
    """Of an image, about."""
    return sum(path.stat().st_size for path in paths) // max(1, sum(map(_count_rows, paths)))


def _find_parquet_files(root: Path, where: str) -> tuple[Path, ...]:
    require_folder(root, where, EXPECTED)
    for folder in (root, root / "data"):
        if folder.is_dir():
            paths = [path for path in list_children(folder, files=True) if path.suffix == ".parquet"]
            if paths:
                return tuple(paths)
    raise InputError(f"{where}: got no .parquet file in {root}, expected {EXPECTED}")


@contextmanager
def _open_parquet(path: Path) -> Iterator[Any]:
    from pyarrow.parquet import ParquetFile

    if isinstance(path, Path):
        file_size(path)
    try:
        with path.open("rb") as stream:
            yield ParquetFile(stream)
    except Exception as error:  # Arrow and each store behind a URL have their own
        if isinstance(error, InputError):
            raise
        found = f"a Parquet file that cannot be read ({one_line(error)})"
        raise InputError(f"{path}: got {found}, expected a whole one") from error


def _count_rows(path: Path) -> int:
    with _open_parquet(path) as table:
        return int(table.metadata.num_rows)


def _iterate_images(path: Path) -> Iterator[ParquetImage]:
    with _open_parquet(path) as table:
        found = [name for name in IMAGE_COLUMNS if name in table.schema_arrow.names]
        if not found:
            raise InputError(f"{path}: got the columns {', '.join(table.schema_arrow.names)}, expected {EXPECTED}")
        batches = table.iter_batches(BATCH_ROWS, columns=found[:1])
        for row, value in enumerate(value for batch in batches for value in batch.column(0).to_pylist()):
            data = value.get("bytes") if isinstance(value, dict) else value
            if not isinstance(data, bytes):
                raise InputError(f"{path}: got no image in row {row}, expected {EXPECTED}")
            yield ParquetImage(path, row, data)


def _read_labels(path: Path) -> tuple[str, list[str]]:
    """What kind of labels a file has, in words, and the class of every row by name, where there is a column of them."""
    with _open_parquet(path) as table:
        schema = table.schema_arrow
        if LABEL_COLUMN not in schema.names:
            return f"no column {LABEL_COLUMN}", []
        names = _class_names(schema.metadata or {})
        labels = table.read([LABEL_COLUMN]).column(0).to_pylist()
    for row, label in enumerate(labels):
        whole = type(label) is int and 0 <= label < (len(names) or label + 1)
        if not whole and (names or type(label) is not str):
            expected = f"0 to {len(names) - 1}" if names else "a name or a whole number from 0"
            raise InputError(f"{path}: got the label {label!r:.40} in row {row}, expected {expected}")
    kind = f"the column {LABEL_COLUMN} {'with' if names else 'without'} names of classes"
    return kind, [names[label] if names else str(label) for label in labels]


def _class_names(metadata: dict[bytes, bytes]) -> list[str]:
    try:
        found: Any = json.loads(metadata[b"huggingface"])["info"]["features"][LABEL_COLUMN]["names"]
    except (KeyError, TypeError, ValueError):
        return []
    return [str(name) for name in found]
