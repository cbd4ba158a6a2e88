"""Images inside the page: PNG files as data addresses of WebP, and the style of its plots.

Figures and plots have one quality; a dark page inverts the plots. Contact sheets lose nothing, since the page's script
cuts them apart.
"""

import base64
import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import PIL.Image
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator

from genlib.errors import InputError

QUALITY = 75  # of WebP, from 0 to 100
MAX_SIDE = 1280  # pixels, the width of the page; larger figures are scaled down
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIZE_INCHES, DPI = (4.4, 2.5), 150
INK, SOFT, RULE = "#24211d", "#6d675f", "#ddd8d0"  # as in page.html
PALETTE = ("#c8442f", "#3f78a8", "#5a8a4f", "#9a6fb0", "#b98a2d")  # of lines, in the order in which they are drawn
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.edgecolor": RULE,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.labelcolor": INK,
    "legend.handlelength": 1.2,
    "legend.columnspacing": 1.4,
    "legend.borderpad": 0.2,
    **{f"{axis}tick.{key}": value for axis in "xy" for key, value in (("color", SOFT), ("labelsize", 8))},
    **{f"{axis}tick.{kind}.size": 0 for axis in "xy" for kind in ("major", "minor")},
}


class EmbeddedImage(NamedTuple):
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
        with PIL.Image.open(io.BytesIO(self.png)) as opened:
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


def render_plot(title: str, alt: str, draw: Callable[[Axes], None]) -> EmbeddedImage:
    with rc_context(STYLE):
        figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        if isinstance(axes.xaxis.get_major_locator(), AutoLocator):
            axes.locator_params(axis="x", nbins=5)
        png = io.BytesIO()
        figure.savefig(png, format="png", facecolor="white", pil_kwargs={"compress_level": 1})  # becomes WebP
    return EmbeddedImage(title, alt, png.getvalue())


def add_legend(axes: Axes) -> None:
    """Above the panel, in one line."""
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=5)


def choose_scale(values: Sequence[float]) -> str:
    """The scale of an axis: logarithmic for positive values that span more than a factor of 20."""
    return "log" if min(values) > 0 and max(values) > 20 * min(values) else "linear"
