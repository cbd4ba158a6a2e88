"""Pictures inside the page: PNG bytes as data addresses, made to fit a page of bounded size.

Each is packed as WebP, which loses nothing and takes half the room. Where there is not enough for all, the largest ones
give way first: to 256 colours, then to fewer pixels.
"""

from __future__ import annotations

import base64
import io
import os
import struct
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from genlib.errors import InputError

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_TOTAL_BYTES = (
    3_400_000  # bytes of all pictures together; base64 makes them a third longer, and the page stays under 5 MB
)
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class EmbeddedImage:
    """`dark`: what a dark page shows in its place; `kind`: the class that the page's style knows it by; `anchor`: the
    name by which links find it."""

    title: str
    alt: str
    light: bytes
    dark: bytes | None = None
    css_class: str = "plot"
    caption: str = ""
    anchor: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, from the PNG header."""
        width, height = struct.unpack(">II", self.light[16:24])
        return width, height

    @property
    def variants(self) -> list[bytes]:
        return [self.light] if self.dark is None else [self.light, self.dark]


def read_png(path: Path) -> bytes:
    """Raises InputError where the file is no PNG."""
    content = path.read_bytes()
    if not content.startswith(PNG_SIGNATURE) or len(content) < 33:
        raise InputError(f"{path}: got no PNG picture, expected the file that its stage writes")
    return content


def max_bytes_each(sizes: Iterable[int], budget: int = MAX_TOTAL_BYTES) -> int:
    """The most bytes that one picture may have, so that all together keep within `budget`."""
    ascending, room = sorted(sizes), budget
    for place, size in enumerate(ascending):
        share = room // (len(ascending) - place)
        if size > share:
            return share
        room -= size
    return budget


def to_data_uri(png: bytes, max_bytes: int) -> str:
    return "data:image/webp;base64," + base64.b64encode(shrink_to(png, max_bytes)).decode("ascii")


def shrink_to(png: bytes, max_bytes: int) -> bytes:
    """The picture as WebP in at most so many bytes (or in one pixel)."""
    made = as_webp(png)
    if len(made) <= max_bytes:
        return made
    from PIL.Image import Resampling

    picture = _decode_rgb(png).quantize(256).convert("RGB")
    made = _encode_webp(picture)
    while len(made) > max_bytes and max(picture.size) > 1:
        smaller = picture.resize([max(1, int(0.85 * side)) for side in picture.size], Resampling.LANCZOS)
        picture = smaller.quantize(256).convert("RGB")
        made = _encode_webp(picture)
    return made


@lru_cache(maxsize=1024)
def as_webp(png: bytes) -> bytes:
    """The picture as WebP, pixel for pixel; kept, since the page asks first for its size."""
    return _encode_webp(_decode_rgb(png))


def _decode_rgb(png: bytes) -> Image:
    from PIL.Image import open as open_image

    with open_image(io.BytesIO(png)) as opened:
        return opened.convert("RGB")


def _encode_webp(image: Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "WEBP", lossless=True, quality=50)
    return file.getvalue()


def webp_sizes(images: Sequence[EmbeddedImage]) -> list[int]:
    """Their bytes as WebP; packed by as many threads as there are processors, since the packing holds no lock."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [len(made) for made in pool.map(as_webp, [file for picture in images for file in picture.variants])]
