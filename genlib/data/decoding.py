"""Image files to pixels: which files are read, as grey or RGB, and at which size.

A file is opened once and read whole. Files of 8 bits per channel are read: grey (also bilevel) as one channel; RGB,
palette and the inks of print (CMYK, converted without a colour profile) as three. Transparency becomes white, and the
EXIF rotation is applied. Refused are animations, files of several pages, images of more than MAX_PIXELS, and what is
no file: a link to nothing, a FIFO, a device. JPEGs are decoded whole before they are resized: Pillow's `draft`, which
decodes a smaller image at once, gives other pixels.

A process that decodes imports neither torch nor NumPy, so that it starts quickly.
"""

from __future__ import annotations

import io
import math
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, Protocol

from genlib.data.resizing import Resize, Size, scaled_size, window
from genlib.errors import InputError, one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
CHANNELS = {"1": 1, "L": 1, "LA": 1, "P": 3, "PA": 3, "RGB": 3, "RGBA": 3, "CMYK": 3}
MAX_PIXELS = 2**26  # of one image
EXIF_ORIENTATION, EXIF_TURNS = 0x112, {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # to the numbers of Image.Transpose
RAW_MODES = {1: "L", 3: "RGB;L"}  # of Pillow's `tobytes`: a row of each channel after the other
METADATA = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}  # of Pillow's `info`, that may tell a turn
NO_FILE = "got a folder, a FIFO or a device, expected a file"
PNG_SIGNATURE = b"\x89PNG"


class OpenableFile(Protocol):
    """A file, wherever it is; as a string, its name."""

    def open(self, mode: Literal["rb"], /) -> IO[bytes]: ...


ImageFile = str | OpenableFile  # a path of this machine, or what can be opened


@dataclass(frozen=True)
class Target:
    """What files become: uint8 [channels, *size], `size` (H, W). `resize` None: an image of another size is refused,
    with the name of the `first`, which has it."""

    channels: int
    size: Size
    resize: Resize | None
    first: str = ""


@dataclass(frozen=True)
class DecodedChunk:
    """The channels that each of n files has itself, 0 for one that was refused, `problems`: why, and `pixels` of all:
    bytes in the order [n, H, C, W], C of the target, black for what was refused."""

    channels: bytes
    pixels: bytes
    problems: Sequence[str]

    def to_array(self, target: Target) -> NDArray[np.uint8]:
        """uint8 [n, C, H, W]."""
        import numpy as np

        height, width = target.size
        return np.frombuffer(self.pixels, np.uint8).reshape(-1, height, target.channels, width).transpose(0, 2, 1, 3)


def decode_chunk(target: Target, files: Sequence[ImageFile]) -> DecodedChunk:
    black, raw_mode = bytes(target.channels * math.prod(target.size)), RAW_MODES[target.channels]
    channels, pixels, problems = bytearray(len(files)), [black] * len(files), list[str]()
    for row, file in enumerate(files):
        try:
            image = _open_image(file)
            channels[row] = _count_channels(file, image)
            pixels[row] = _fit(file, _to_picture(image, target.channels), target).tobytes("raw", raw_mode)
        except Exception as error:  # Pillow's plugins raise what comes
            problems.append(str(_refusal(file, error)))
    return DecodedChunk(bytes(channels), b"".join(pixels), problems)


def decode_image(file: ImageFile, image_size: int | None) -> NDArray[np.uint8]:
    """uint8 [C, H, W] of one file, squashed to a square of `image_size` where it is given."""
    import numpy as np

    with _refusing(file):
        image = _open_image(file)
        picture = _to_picture(image, channels := _count_channels(file, image))
    size = (image_size, image_size) if image_size else (picture.height, picture.width)
    pixels = np.array(_resize(picture, size, "squash"), dtype=np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def inspect_image(file: ImageFile) -> tuple[int, Size]:
    """The channels and the size (H, W) of one file, once all of it is decoded."""
    with _refusing(file):
        image = _open_image(file)
        channels = _count_channels(file, image)
        image.load()
        picture = _turn_upright(image)
    return channels, (picture.height, picture.width)


def _count_channels(file: ImageFile, image: Any) -> int:
    if (mode := _mode(image)) not in CHANNELS:
        raise InputError(f"{file}: got mode {mode}, expected 8 bits per channel, grey, RGB, palette or CMYK")
    return CHANNELS[mode]


def file_size(file: str | Path) -> int:
    """In bytes. Raises InputError for what is no file, as a link to nothing or a FIFO: to open one may never return."""
    path = Path(file) if isinstance(file, str) else file
    try:
        found = path.stat()
    except OSError as error:
        what = "a link to nothing" if path.is_symlink() else f"a file that cannot be read ({error.strerror})"
        raise InputError(f"{path}: got {what}, expected a file") from error
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: {NO_FILE}")
    return found.st_size


@contextmanager
def _refusing(file: ImageFile) -> Iterator[None]:
    """Turn whatever goes wrong in the block into an InputError."""
    try:
        yield
    except Exception as error:  # Pillow's plugins raise what comes
        raise _refusal(file, error) from error


def _refusal(file: ImageFile, error: Exception) -> InputError:
    """What a user is told; Pillow's plugins raise what comes."""
    if isinstance(error, InputError):
        return error
    found = f"an image that cannot be read ({one_line(error).partition(' <')[0]})"
    return InputError(f"{file}: got {found}, expected a whole PNG, JPEG, BMP, WebP or TIFF")


def _open_image(file: ImageFile) -> Any:
    """The file as an image of Pillow's, not yet decoded."""
    data = _read_local(file) if isinstance(file, str | Path) else _read_remote(file)
    if data.startswith(PNG_SIGNATURE):
        _open_bytes(data).verify()  # checksums, which decoding does not look at; the image is then used up
    return _open_bytes(data)


def _read_local(path: str | Path) -> bytes:
    """Opened without blocking: a FIFO in the place of a file is refused and not waited for."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise InputError(f"{path}: {NO_FILE}")
        return stream.readall()  # to the end: one read of a remote file system may give less


def _read_remote(file: OpenableFile) -> bytes:
    with file.open("rb") as stream:
        return stream.read()


def _open_bytes(data: bytes) -> Any:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # of sizes that MAX_PIXELS refuses
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.format not in ("JPEG", "MPO") and getattr(image, "n_frames", 1) > 1:  # MPO: a JPEG with a second view
        raise ValueError("it has several pages" if image.format == "TIFF" else "it is animated")
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width} x {image.height} are more than {MAX_PIXELS:,} pixels")
    return image


def _mode(image: Any) -> str:
    if image.format != "JPEG" and ";16" in str(image.tile):
        return f"{image.mode.partition(';')[0]};16"
    return str(image.mode)


def _to_picture(image: Any, channels: int) -> Any:
    """The image upright, opaque, and in grey or RGB."""
    from PIL import Image

    image.load()
    picture = _turn_upright(image)
    if picture.has_transparency_data:
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture.convert("RGBA"))
    mode = "L" if channels == 1 else "RGB"
    return picture if picture.mode == mode else picture.convert(mode)


def _turn_upright(image: Any) -> Any:
    """The image as its EXIF says that it is to be looked at; Pillow turns TIFF itself."""
    if METADATA.isdisjoint(image.info):
        return image
    from PIL import Image

    try:
        turn = EXIF_TURNS.get(image.getexif().get(EXIF_ORIENTATION))
    except Exception:  # Pillow raises what comes: bad metadata cost no image
        turn = None
    return image if turn is None else image.transpose(Image.Transpose(turn))


def _fit(file: ImageFile, picture: Any, target: Target) -> Any:
    if target.resize is not None:
        return _resize(picture, target.size, target.resize)
    if (height_and_width := (picture.height, picture.width)) != target.size:
        (height, width), (first_height, first_width) = height_and_width, target.size
        found = f"{target.first} is {first_width}x{first_height} and {file} is {width}x{height}"
        raise InputError(f"data.image_size: got null, but {found}, expected a size to resize them to")
    return picture


def _resize(picture: Any, size: Size, resize: Resize) -> Any:
    """To (H, W), bicubic with antialiasing."""
    from PIL import Image

    if (picture.height, picture.width) == size:
        return picture
    height, width = scaled_size((picture.height, picture.width), size, resize)
    return picture.resize((width, height), Image.Resampling.BICUBIC).crop(window((height, width), size))
