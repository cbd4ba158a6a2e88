"""Pictures of how various the generated images are."""

from __future__ import annotations

from pathlib import Path

from genlib.figures.canvas import (
    GENERATED_COLOR,
    MUTED_COLOR,
    REAL_COLOR,
    TEXT_COLOR,
    add_text,
    new_canvas,
    save_figure,
)
from genlib.metrics.result import MetricResult

CURVE_STYLES = {
    "test": ("test images", REAL_COLOR, "-"),
    "train": ("training images", TEXT_COLOR, ":"),
    "fake": ("generated", GENERATED_COLOR, "-"),
}


def plot_support_curve(result: MetricResult, path: Path) -> Path:
    """C(r), the share of pairs that are nearer than r, of generated and of real images, both axes logarithmic.

    Where the generated line lies above the real ones at small r, too many images are nearly the same; where it runs
    level, they are the same.
    """
    curve = result.detail["curve"]
    width, height = 5.6, 4.5
    sheet = new_canvas(width, height, "How many pairs of images are nearer than r")
    area = sheet.figure.add_axes((0.75 / width, 0.75 / height, 4.6 / width, 3.15 / height))
    area.set(xscale="log", yscale="log")
    for name in (name for name in CURVE_STYLES if name in curve):
        label, colour, style = CURVE_STYLES[name]
        seen = [(r, share) for r, share in zip(curve["radius"], curve[name], strict=True) if share > 0]
        area.plot([r for r, _ in seen], [share for _, share in seen], style, color=colour, lw=1.5, label=label)
    area.axhline(result.detail["rate"], color=MUTED_COLOR, lw=0.7, ls="--")
    area.set_xlabel("r, in units of the root mean square distance of two test images", fontsize=8, color=MUTED_COLOR)
    area.set_ylabel("share of pairs", fontsize=8, color=MUTED_COLOR)
    area.tick_params(which="both", labelsize=7, colors=MUTED_COLOR, length=2)
    area.spines[["right", "top"]].set_visible(False)
    area.legend(frameon=False, fontsize=8, loc="lower right")
    add_text(
        sheet, 0.15, 0.1, "dashed: the share of real pairs that the test of support calls the same", color=MUTED_COLOR
    )
    return save_figure(sheet, path)
