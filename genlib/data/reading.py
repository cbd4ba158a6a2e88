"""All files of a listing as one array, and what a look at some of them tells beforehand."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from genlib.data.config import DataConfig, MapFunction
from genlib.data.decoding import Target, decode_chunk, inspect_image
from genlib.data.image_folder import ImageFiles, Listing
from genlib.data.resizing import Size
from genlib.errors import InputError
from genlib.progress import track_progress

CHUNK_FILES, CHUNK_BYTES = 256, 2**20  # that are decoded at a time at the most; bytes of files, and of pixels
GREY, RGB = 1, 3  # channels
T = TypeVar("T")


@dataclass(frozen=True)
class Probe:
    """What some files of a set tell of all. `channels`: 1 where all are grey, or else 3; `size` (H, W): of the image
    whose shorter side is the median; `sizes`: of each file, by its name."""

    channels: int
    size: Size
    sizes: dict[str, Size]
    num_grey: int

    @property
    def notes(self) -> tuple[str, ...]:
        is_mixed = self.channels == RGB and self.num_grey
        return (describe_grey(self.num_grey, len(self.sizes)),) if is_mixed else ()

    def target(self, config: DataConfig) -> Target:
        """What the files of the set become."""
        size = config.with_image_size_for(self.size).target_size
        first, own_size = next(iter(self.sizes.items()))
        return Target(self.channels, size or own_size, config.resize if size else None, first)

    def require_one_size(self) -> None:
        names: dict[Size, str] = {size: name for name, size in reversed(self.sizes.items())}
        if len(names) > 1:
            found = " and ".join(f"{name} is {size[1]}x{size[0]}" for size, name in [*reversed(names.items())][:2])
            raise InputError(f"data.image_size: got null, but {found}, expected a size to resize them to")


def probe_images(sets: Sequence[ImageFiles]) -> Probe:
    """Decode the files that stand for their sets; raises InputError where one cannot be read."""
    facts, problems = {}, []
    for file in track_progress(chain(*sets), "looking at images", sum(map(len, sets))):
        try:
            facts[str(file)] = inspect_image(file)
        except InputError as error:
            problems.append(str(error))
    _raise_problems(problems)
    sizes = {name: size for name, (_, size) in facts.items()}
    median = sorted(sizes.values(), key=lambda size: (min(size), size))[len(sizes) // 2]
    by_channels = Counter(channels for channels, _ in facts.values())
    return Probe(max(by_channels), median, sizes, by_channels[GREY])


def read_images(listing: Listing, target: Target, map_chunks: MapFunction) -> NDArray[np.uint8]:
    """uint8 [N, C, H, W]: C is that of `target`, or 3 where files beyond the probe have colours. Raises InputError with
    the first file that cannot be read, and the number of others."""
    pixels, own_channels = _decode_all(listing, target, map_chunks)
    if target.channels == GREY and RGB in own_channels:
        pixels, own_channels = _decode_all(listing, replace(target, channels=RGB), map_chunks)
    num_grey = own_channels.count(GREY)
    if pixels.shape[1] == RGB and num_grey and len(listing.probe) < len(listing.files):
        print(describe_grey(num_grey, len(own_channels)))
    return pixels


def describe_grey(num_grey: int, total: int) -> str:
    return f"{num_grey:,} of {total:,} images are grey, and are read as RGB"


def _decode_all(listing: Listing, target: Target, map_chunks: MapFunction) -> tuple[NDArray[np.uint8], bytearray]:
    """The pixels of all files, and the channels [N] that each has itself."""
    from genlib.data.images import allocate_pixels

    count = len(listing.files)
    pixels: NDArray[np.uint8] = allocate_pixels(count, (target.channels, *target.size)).numpy()
    own_channels, problems = bytearray(), list[str]()
    length = min(max(CHUNK_BYTES // max(pixels[:1].nbytes, listing.file_bytes, 1), 1), CHUNK_FILES)
    chunks = map_chunks(partial(decode_chunk, target), cut_into_chunks(listing.files, length))
    for chunk in track_progress(chunks, f"reading images, {length} at a time", -(-count // length)):
        start, end = len(own_channels), len(own_channels) + len(chunk.channels)
        pixels[start:end] = chunk.to_array(target)
        own_channels += chunk.channels
        problems += chunk.problems
    _raise_problems(problems)
    return pixels, own_channels


def cut_into_chunks(items: Iterable[T], length: int) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := [*islice(rest, length)]:
        yield chunk


def _raise_problems(problems: Sequence[str]) -> None:
    if problems:
        more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
        raise InputError(f"{problems[0]}{more}")
