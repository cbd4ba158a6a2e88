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

from genlib.errors import InputError, one_line, unknown_name

if TYPE_CHECKING:
    from genlib.data.sources import Source

MAX_IMAGE_SIZE = 1024


@dataclass(frozen=True)
class DomainBConfig:
    """The section `data.domain_b`: a second domain. What is None is as the first domain has it."""

    name: str
    root: Path | None = None
    seed: int | None = None


@dataclass(frozen=True)
class DataConfig:
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
    domain_b: DomainBConfig | None = None

    def for_domain_b(self) -> DataConfig | None:
        """The settings of the second domain, which has its own place and seed and shares the rest."""
        if self.domain_b is None:
            return None
        own = {
            "root": self.domain_b.root or self.root,
            "seed": self.seed if self.domain_b.seed is None else self.domain_b.seed,
        }
        return replace(self, name=self.domain_b.name, domain_b=None, **own)  # type: ignore[arg-type]


def parse_root(root: str) -> Path:
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
        raise InputError(f"data.root: got {root} ({error}), expected a folder, or a URL that fsspec knows") from error
    return cast(Path, found)


def find_domains(config: DataConfig) -> list[tuple[Source, DataConfig]]:
    """The named data set and, where there is one, that of the second domain, each with the settings to read it by.

    Raises:
        InputError: what `find_source` raises of either, or their channels differ.
    """
    first, second = (find_source(config), config), config.for_domain_b()
    if second is None:
        return [first]
    with blame_domain_b():
        if second.split == "official" and _resolve_source(second).test is None:
            second = replace(second, split="pooled")
        other = (find_source(second), second)
    require_same_channels([first[0].channels, other[0].channels], config)
    return [first, other]


@contextmanager
def blame_domain_b() -> Iterator[None]:
    """A complaint about a name or a root is about those of `data.domain_b` here; the other keys are the first domain's."""
    try:
        yield
    except InputError as error:
        raise InputError(re.sub(r"^data\.(name|root):", r"data.domain_b.\1:", str(error))) from error


def require_same_channels(channels: Sequence[int], config: DataConfig) -> None:
    """Refuse two domains, of which no network can tell or translate both; `found` are the channels of each."""
    if config.domain_b and channels[0] != channels[1]:
        raise InputError(
            f"data.domain_b: got {config.domain_b.name} with {channels[1]} channel{'s' * (channels[1] > 1)}, expected {channels[0]} "
            f"as {config.name} has, or null"
        )


def find_source(config: DataConfig) -> Source:
    """The named data set, found on the disk and not yet read.

    Raises:
        InputError: everything about the section, and the files behind it, that can be seen without reading them all.
    """
    source = _resolve_source(config)
    if config.split == "official" and source.test is None:
        raise InputError(f"data.split: got official, but {config.name} has no test set of its own, expected pooled")
    return source


def require_min_counts(counts: Mapping[str, int], config: DataConfig) -> None:
    """Refuse a class that cannot have an image in every part; `counts` are the images to be split, by class."""
    least = 3 if config.split == "pooled" else 2
    for name, count in counts.items():
        if count < least:
            found = f"{count} image{'' if count == 1 else 's'}" + (f" of class {name!r}" if name else "")
            raise InputError(f"data.root: got {found} in {config.root}, expected at least {least}, one for each part")


def _resolve_source(config: DataConfig) -> Source:
    _validate_config(config)
    known = _source_functions()
    if config.name not in known:
        raise unknown_name("data.name", config.name, known)
    try:
        return known[config.name](config)
    except InputError:
        raise
    except Exception as error:  # each store behind a URL has its own
        if isinstance(config.root, Path):
            raise
        reason = one_line(error)
        raise InputError(f"data.root: got {config.root} out of reach ({reason}), expected a folder") from error


def _source_functions() -> dict[str, Callable[[DataConfig], Source]]:
    """The public functions of `sources.py` by name: the registry."""
    from genlib.data import sources

    functions = inspect.getmembers(sources, inspect.isfunction)
    return {name: f for name, f in functions if f.__module__ == sources.__name__ and not name.startswith("_")}


def _validate_config(config: DataConfig) -> None:
    size, shares = config.image_size, {"valid": config.valid, "test": config.test}
    if config.split not in ("official", "pooled"):
        raise InputError(f"data.split: got {config.split!r}, expected official, pooled")
    if size is not None and not 1 <= size <= MAX_IMAGE_SIZE:
        raise InputError(f"data.image_size: got {size}, expected 1 to {MAX_IMAGE_SIZE}, or null to keep the size")
    for key, share in shares.items():
        if share is not None and not 0 < share < 1:
            raise InputError(f"data.{key}: got {share}, expected a share between 0 and 1, or null")
    if config.test is not None and config.split == "official":
        raise InputError(f"data.test: got {config.test} with data.split: official, expected null (the set's own test)")
    if sum(share or 0 for share in shares.values()) >= 1:
        raise InputError(f"data.valid + data.test: got {config.valid} + {config.test}, expected less than 1 together")
