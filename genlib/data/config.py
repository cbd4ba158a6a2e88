"""The `data` section of the parameters, with the checks that need no data."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, Self, TypeVar, cast, get_args

from genlib.data.resizing import Resize, Size
from genlib.errors import InputError, one_line, unknown_name

MAX_IMAGE_SIZE = 1024
AUTO_SIZES = 8, 64  # the smallest and the largest that `auto` picks
MIN_IMAGES = 10  # of a set, of which two are for validation and two for tests
T = TypeVar("T")
R = TypeVar("R")


class MapFunction(Protocol):
    """`map` for one iterable, by whoever does the work: the results in order, and the same whoever it is."""

    def __call__(self, function: Callable[[T], R], items: Iterable[T], /) -> Iterator[R]: ...


@dataclass(frozen=True)
class DomainBConfig:
    """The section `data.domain_b`: a second domain. None: as in the first domain."""

    name: str
    root: Path | None = None
    seed: int | None = None


@dataclass(frozen=True)
class DataConfig:
    """What to read and how to split it; `key` is the section's place in the params, for errors. `valid` and `test` are
    fractions of all images, official test set included. None: `test` is as large as the official test set, or else a
    fifth and at most 10,000; `valid` is a quarter of the rest and at most 5,000 (60, 20 and 20 % of a small set).
    `image_size`: the side of the square that every image is resized to by `resize`; "auto" is the largest power of two
    up to 64 that the shorter side of the median image reaches; None keeps the images' own size, and resizes those of
    domain B to that of the first. `map_chunks`: who decodes the files of images, which changes nothing but the time."""

    name: str = "digits"
    root: Path = Path("data/raw")
    download: bool = False
    split: Literal["official", "pooled"] = "pooled"
    seed: int = 0
    image_size: int | Literal["auto"] | None = None
    resize: Resize = "crop"
    valid: float | None = None
    test: float | None = None
    domain_b: DomainBConfig | None = None
    key: str = "data"
    map_chunks: MapFunction = map

    def for_domain_b(self) -> Self | None:
        if (own := self.domain_b) is None:
            return None
        root, seed = own.root or self.root, self.seed if own.seed is None else own.seed
        return replace(self, name=own.name, root=root, seed=seed, domain_b=None, key="data.domain_b")

    def validate(self) -> None:
        size, fractions = self.image_size, {"valid": self.valid, "test": self.test}
        if self.split not in ("official", "pooled"):
            raise InputError(f"data.split: got {self.split!r}, expected official, pooled")
        if size not in ("auto", None) and not 1 <= cast(int, size) <= MAX_IMAGE_SIZE:
            expected = f"auto, 1 to {MAX_IMAGE_SIZE}, or null to keep the size"
            raise InputError(f"data.image_size: got {size}, expected {expected}")
        if self.resize not in get_args(Resize):
            raise unknown_name("data.resize", self.resize, get_args(Resize))
        for key, fraction in fractions.items():
            if fraction is not None and not 0 < fraction < 1:
                raise InputError(f"data.{key}: got {fraction}, expected a share between 0 and 1, or null")
        if self.test is not None and self.split == "official":
            raise InputError(f"data.test: got {self.test} with data.split: official, expected null (the set's own)")
        if sum(fraction or 0 for fraction in fractions.values()) >= 1:
            raise InputError(f"data.valid + data.test: got {self.valid} + {self.test}, expected less than 1 together")

    def with_image_size_for(self, median: Size | None) -> Self:
        """With a number in the place of "auto"; `median`: the size of the median image, where the source tells it."""
        if self.image_size != "auto":
            return self
        if median is None:
            found = f"auto, but {self.name} tells no size of its images"
            raise InputError(f"data.image_size: got {found}, expected a number")
        return replace(self, image_size=auto_image_size(min(median)))

    @property
    def target_size(self) -> Size | None:
        """(H, W) that images are resized to; None: their own. "auto" must have been resolved."""
        assert self.image_size != "auto"
        return None if self.image_size is None else (self.image_size, self.image_size)

    def require_min_counts(self, counts: Mapping[str, int]) -> None:
        """Raise InputError for a class with too few images for every part; `counts`: images to be split, by class."""
        least = 3 if self.split == "pooled" else 2
        for name, count in counts.items():
            if count < least:
                found = f"{count} image{'' if count == 1 else 's'}" + (f" of class {name!r}" if name else "")
                expected = f"at least {least}, one for each part"
                raise InputError(f"{self.key}.root: got {found} in {self.root}, expected {expected}")

    def require_enough(self, num_images: int) -> None:
        if num_images < MIN_IMAGES:
            expected = f"at least {MIN_IMAGES}: two each for validation and tests, the rest to train on"
            raise InputError(f"{self.key}.root: got {num_images} images in all in {self.root}, expected {expected}")

    def require_same_channels(self, channels: Sequence[int]) -> None:
        if self.domain_b and channels[0] != channels[1]:
            found = f"{self.domain_b.name} with {channels[1]} channel{'s' * (channels[1] > 1)}"
            raise InputError(f"data.domain_b: got {found}, expected {channels[0]} as {self.name} has, or null")


def auto_image_size(side: int) -> int:
    """The largest power of two that `side` reaches, from 8 to 64."""
    smallest, largest = AUTO_SIZES
    return min(max(1 << (side.bit_length() - 1), smallest), largest)


def parse_root(root: str, key: str = "data.root") -> Path:
    """A folder, on this machine or behind a URL that fsspec knows: `s3://bucket/images`, `gs://...`, `hf://...`."""
    if "://" not in root:
        return Path(root)
    from upath import UPath

    try:
        found = UPath(root)
        _ = found.fs  # imports what it takes
    except Exception as error:  # each store has its own, and its imports
        expected = "a folder or a URL that fsspec knows"
        raise InputError(f"{key}: got {root} ({one_line(error)}), expected {expected}") from error
    return cast(Path, found)
