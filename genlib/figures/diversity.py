"""Pictures of how various the generated images are."""

from __future__ import annotations

from pathlib import Path

from genlib.figures.canvas import INK, MADE, REAL, SOFT, canvas, save, text
from genlib.metrics.result import Measure

LINES = {"test": ("test images", REAL, "-"), "train": ("training images", INK, ":"), "fake": ("generated", MADE, "-")}


def support_curve(measure: Measure, path: Path) -> Path:
    """C(r), the share of pairs that are nearer than r, of generated and of real images, both axes logarithmic.

    Where the generated line lies above the real ones at small r, too many images are nearly the same; where it runs
    level, they are the same.
    """
    curve = measure.detail["curve"]
    width, height = 5.6, 4.5
    sheet = canvas(width, height, "How many pairs of images are nearer than r")
    area = sheet.figure.add_axes((0.75 / width, 0.75 / height, 4.6 / width, 3.15 / height))
    area.set(xscale="log", yscale="log")
    for name in (name for name in LINES if name in curve):
        label, colour, style = LINES[name]
        seen = [(r, share) for r, share in zip(curve["radius"], curve[name], strict=True) if share > 0]
        area.plot([r for r, _ in seen], [share for _, share in seen], style, color=colour, lw=1.5, label=label)
    area.axhline(measure.detail["rate"], color=SOFT, lw=0.7, ls="--")
    area.set_xlabel("r, in units of the root mean square distance of two test images", fontsize=8, color=SOFT)
    area.set_ylabel("share of pairs", fontsize=8, color=SOFT)
    area.tick_params(which="both", labelsize=7, colors=SOFT, length=2)
    area.spines[["right", "top"]].set_visible(False)
    area.legend(frameon=False, fontsize=8, loc="lower right")
    text(sheet, 0.15, 0.1, "dashed: the share of real pairs that the test of support calls the same", color=SOFT)
    return save(sheet, path)
