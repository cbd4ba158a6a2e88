"""What a user may ask of the data, and whether it can be had: all that is known without reading a whole set.

Nothing here or in `sources.py` imports torch before a set is read, so that a check costs milliseconds.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from genlib.errors import InputError, unknown

if TYPE_CHECKING:
    from genlib.data.sources import Source

LARGEST_IMAGE = 1024


@dataclass(frozen=True)
class OtherSettings:
    """The section `data.other`: a second domain. What is None is as the first domain has it."""

    name: str
    root: Path | None = None
    seed: int | None = None


@dataclass(frozen=True)
class DataSettings:
    """The `data` section of the parameters.

    `valid` and `test` are shares of all the images, official test set included. Left out, `test` is as large as the
    official test set, or else a fifth and at most 10,000; `valid` is a quarter of the rest and at most 5,000 (so 60, 20
    and 20 % of a small set). `image_size` is the side of the square that every image is resized to; left out, images
    keep their size, and those of the `other` domain are resized to it.
    """

    name: str = "digits"
    root: Path = Path("data/raw")
    download: bool = False
    split: Literal["official", "pooled"] = "pooled"
    seed: int = 0
    image_size: int | None = None
    valid: float | None = None
    test: float | None = None
    other: OtherSettings | None = None

    def second(self) -> DataSettings | None:
        """The settings of the second domain, which has its own place and seed and shares the rest."""
        if self.other is None:
            return None
        own = {"root": self.other.root or self.root, "seed": self.seed if self.other.seed is None else self.other.seed}
        return replace(self, name=self.other.name, other=None, **own)  # type: ignore[arg-type]


def place(root: str) -> Path:
    """A folder, on this machine or behind a URL that fsspec knows: `s3://bucket/images`, `gs://...`, `hf://...`.

    Raises:
        InputError: nothing installed here knows URLs of this kind.
    """
    if "://" not in root:
        return Path(root)
    from upath import UPath

    try:
        found = UPath(root)
        _ = found.fs  # imports what it takes
    except Exception as error:
        raise InputError(f"data.root: found {root} ({error}), legal: a folder, or a URL that fsspec knows") from error
    return cast(Path, found)


def find_domains(settings: DataSettings) -> list[tuple[Source, DataSettings]]:
    """The named data set and, where there is one, that of the second domain, each with the settings to read it by.

    Raises:
        InputError: what `find_source` raises of either, or their channels differ.
    """
    first, second = (find_source(settings), settings), settings.second()
    if second is None:
        return [first]
    with of_other():
        if second.split == "official" and _named(second).test is None:
            second = replace(second, split="pooled")
        other = (find_source(second), second)
    require_channels([first[0].channels, other[0].channels], settings)
    return [first, other]


@contextmanager
def of_other() -> Iterator[None]:
    """A complaint about a name or a root is about those of `data.other` here; the other keys are the first domain's."""
    try:
        yield
    except InputError as error:
        raise InputError(re.sub(r"^data\.(name|root):", r"data.other.\1:", str(error))) from error


def require_channels(found: Sequence[int], settings: DataSettings) -> None:
    """Refuse two domains, of which no network can tell or translate both; `found` are the channels of each."""
    if settings.other and found[0] != found[1]:
        raise InputError(
            f"data.other: found {settings.other.name} with {found[1]} channel{'s' * (found[1] > 1)}, legal: {found[0]} "
            f"as {settings.name} has, or null"
        )


def find_source(settings: DataSettings) -> Source:
    """The named data set, found on the disk and not yet read.

    Raises:
        InputError: everything about the section, and the files behind it, that can be seen without reading them all.
    """
    source = _named(settings)
    if settings.split == "official" and source.test is None:
        raise InputError(f"data.split: found official, but {settings.name} has no test set of its own, legal: pooled")
    return source


def require_enough(counts: Mapping[str, int], settings: DataSettings) -> None:
    """Refuse a class that cannot have an image in every part; `counts` are the images to be split, by class."""
    least = 3 if settings.split == "pooled" else 2
    for name, count in counts.items():
        if count < least:
            found = f"{count} image{'' if count == 1 else 's'}" + (f" of class {name!r}" if name else "")
            raise InputError(f"data.root: found {found} in {settings.root}, legal: at least {least}, one for each part")


def _named(settings: DataSettings) -> Source:
    _require_legal_values(settings)
    known = _sources()
    if settings.name not in known:
        raise unknown("data.name", settings.name, known)
    try:
        return known[settings.name](settings)
    except InputError:
        raise
    except Exception as error:  # each store behind a URL has its own
        if isinstance(settings.root, Path):
            raise
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"data.root: found {settings.root} out of reach ({reason}), legal: a folder") from error


def _sources() -> dict[str, Callable[[DataSettings], Source]]:
    """The public functions of `sources.py` by name: the registry."""
    from genlib.data import sources

    functions = inspect.getmembers(sources, inspect.isfunction)
    return {name: f for name, f in functions if f.__module__ == sources.__name__ and not name.startswith("_")}


def _require_legal_values(settings: DataSettings) -> None:
    size, shares = settings.image_size, {"valid": settings.valid, "test": settings.test}
    if settings.split not in ("official", "pooled"):
        raise InputError(f"data.split: found {settings.split!r}, legal: official, pooled")
    if size is not None and not 1 <= size <= LARGEST_IMAGE:
        raise InputError(f"data.image_size: found {size}, legal: 1 to {LARGEST_IMAGE}, or null to keep the size")
    for key, share in shares.items():
        if share is not None and not 0 < share < 1:
            raise InputError(f"data.{key}: found {share}, legal: a share between 0 and 1, or null")
    if settings.test is not None and settings.split == "official":
        raise InputError(
            f"data.test: found {settings.test} with data.split: official, legal: null (the set's own test)"
        )
    if sum(share or 0 for share in shares.values()) >= 1:
        raise InputError(
            f"data.valid + data.test: found {settings.valid} + {settings.test}, legal: less than 1 together"
        )
