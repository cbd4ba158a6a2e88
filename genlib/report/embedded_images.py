"""Images inside the page: PNG files as data addresses of WebP.

Figures and plots have one quality. Contact sheets lose nothing, since the page's script cuts them apart.
"""

import base64
import io
import struct
from dataclasses import dataclass
from pathlib import Path

from genlib.errors import InputError

QUALITY = 75  # of WebP, from 0 to 100
MAX_SIDE = 1280  # pixels, the width of the page; larger figures are scaled down
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class EmbeddedImage:
    """`css_class`: the class that the page's style knows it by; `anchor`: the name by which links find it;
    `metadata_json`: of a contact sheet, what the page's script needs to know of it."""

    title: str
    alt: str
    png: bytes
    css_class: str = "plot"
    caption: str = ""
    anchor: str = ""
    metadata_json: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, from the PNG header."""
        width, height = struct.unpack(">II", self.png[16:24])
        return width, height

    @property
    def data_uri(self) -> str:
        from PIL.Image import open as open_image

        with open_image(io.BytesIO(self.png)) as opened:
            image = opened.convert("RGB")
        is_sheet = bool(self.metadata_json)
        if not is_sheet:
            image.thumbnail((MAX_SIDE, MAX_SIDE))
        webp = io.BytesIO()
        image.save(webp, "WEBP", lossless=is_sheet, quality=QUALITY)
        return "data:image/webp;base64," + base64.b64encode(webp.getvalue()).decode("ascii")


def read_png(path: Path) -> bytes:
    """Raises InputError where the file is no PNG."""
    content = path.read_bytes()
    if not content.startswith(PNG_SIGNATURE) or len(content) < 33:
        raise InputError(f"{path}: got no PNG picture, expected the file that its stage writes")
    return content
