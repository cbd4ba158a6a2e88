"""How many different digits does a GAN draw from? Against the number of digits it learnt from, and the width of its D.

Arora, Risteski and Zhang 2018 ("Do GANs learn the distribution?") found on CelebA that the support of a GAN, by the
birthday paradox, grows nearly in step with the size of D, and then no more. Here GANs learn the digits at 16x16, and
2,000 images of each are held against radii that are the same for all: those at which 50 pairs of the 359 test digits
are the same. Under these real digits read 1,285, and what a GAN reads above that is no better than what it reads there.
The Frechet distance, of 359 images to as many test digits, tells the GANs whose images differ because they are good
from those whose images differ because they are bad.

`python -m experiments.repertoire [--keep FILE]`: about twelve minutes of one core; draws docs/repertoire.png. Run again
with the same --keep, it goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import geometric_mean
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn

from genlib.data.config import DataConfig
from genlib.data.dataset import Dataset, load_dataset, prepare
from genlib.data.images import Images, to_pixels
from genlib.metrics.inputs import FeatureSet, build_inputs, extract_features
from genlib.metrics.registry import get_metric
from genlib.metrics.stats.birthday import PointSet, calibrate_thresholds, num_pairs
from genlib.metrics.support import EXPECTED_COLLISIONS, count_duplicates
from genlib.models import gan
from genlib.objectives import adversarial
from genlib.training.config import TrainConfig
from genlib.training.fit import fit
from genlib.training.job import TrainingJob
from genlib.training.loop import train
from genlib.training.state import AdamConfig, TrainState

SIZES, WIDTHS = (20, 50, 100, 200, 500, 1000), (4, 8, 16, 32, 64)
SIZE, WIDTH = SIZES[-1], 32  # of what is not varied
SEEDS = (0, 1)
IMAGES, BATCH, RATE = 64_000, 64, 1.5e-3
SAMPLES = 2000
SPACES = ("features", "pixels")
FIGURE = Path(__file__).parent.parent / "docs/repertoire.png"


@dataclass(frozen=True)
class Row:
    """One GAN: digits it learnt from, width of D, seed; what the birthday paradox says of its images in each space, and
    their Frechet distance to test digits."""

    size: int
    width: int
    seed: int
    support: dict[str, Any]
    frechet: float

    def ratio(self, space: str) -> float:
        """To what real digits read."""
        return float(self.support[space]["value"] * self.support[space]["rate"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as temporary:
        prepare(DataConfig(name="digits", image_size=16), Path(temporary) / "data")
        rows = list(measured(Path(temporary) / "data", asked.keep or Path(temporary) / "rows.jsonl"))
    print(table(rows))
    print(draw(rows))


def plans() -> list[tuple[int, int, int]]:
    """(digits, width of D, seed) of every GAN."""
    pairs = dict.fromkeys([*((size, WIDTH) for size in SIZES), *((SIZE, width) for width in WIDTHS)])
    return [(size, width, seed) for seed in SEEDS for size, width in pairs]


def measured(folder: Path, keep: Path) -> Iterator[Row]:
    """A row for every plan; those in the file `keep` are not computed again."""
    data = load_dataset(folder)
    known = [Row(**json.loads(line)) for line in keep.read_text().splitlines()] if keep.exists() else []
    ruler = None
    for size, width, seed in plans():
        row = next((row for row in known if (row.size, row.width, row.seed) == (size, width, seed)), None)
        if row is None:
            ruler = ruler or Ruler.over(folder, data)
            row = ruler.read(learnt(data.train[:size], width, seed), size, width, seed)
            with keep.open("a") as file:
                print(json.dumps(asdict(row)), file=file)
            print(row, flush=True)
        yield row


def learnt(digits: Images, width: int, seed: int) -> nn.Module:
    """The averaged GAN after `IMAGES` images of `digits`."""
    torch.manual_seed(seed)
    model = gan.Build(digits.shape, 0, latent=32, width=32, width_d=width)
    turns = adversarial.Build(r1=0.05, lazy_reg_interval=4).phases(model)
    state = TrainState.create(model, turns, {turn.name: AdamConfig(RATE, 0.0, 0.99) for turn in turns})
    for _ in train(
        state,
        digits,
        TrainConfig(IMAGES, BATCH, seed=seed, ema=0.998, schedule="linear", decay_start=0.5, precision="float32"),
    ):
        pass
    return state.ema.eval()


@dataclass(frozen=True)
class Ruler:
    """A judge, and what it sees of the real digits."""

    judge: nn.Module
    train: FeatureSet
    valid: FeatureSet
    test: FeatureSet

    @classmethod
    def over(cls, folder: Path, data: Dataset) -> Ruler:
        plan = TrainConfig(
            60_000, lr=2e-3, schedule="linear", decay_start=0.5, ema=0.99, precision="float32", report_every=60_000
        )
        *_, last = fit(
            TrainingJob("judge", {"name": "resnet_classifier", "width": 16}, {"name": "classification"}, plan, data)
        )
        assert last.model is not None
        return cls(last.model, *(extract_features(last.model, part) for part in (data.train, data.valid, data.test)))

    def read(self, model: nn.Module, size: int, width: int, seed: int) -> Row:
        fake = Images(to_pixels(model.sample(SAMPLES, seed=seed)))  # type: ignore[operator]
        made, rate = extract_features(self.judge, fake), EXPECTED_COLLISIONS / num_pairs(len(self.test))
        support = {
            space: count_duplicates(calibrate_thresholds(_points(self.test, space), rate), _points(made, space))
            for space in SPACES
        }
        frechet = get_metric("frechet")(
            build_inputs(self.judge, self.train, self.valid, self.test, made, SAMPLES, 0)
        ).value
        assert frechet is not None
        return Row(size, width, seed, support, frechet)


def _points(view: FeatureSet, space: str) -> PointSet:
    return PointSet(view.features if space == "features" else view.pixels.flatten(1), view.predicted_classes)


def table(rows: list[Row]) -> str:
    """Markdown."""
    names = [
        "digits",
        "width of D",
        "seed",
        *(f"{part}, {space}" for space in SPACES for part in ("support", "/ real")),
    ]
    body = ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    return "\n".join(["| " + " | ".join([*names, "frechet"]) + " |", "|" + "--:|" * (len(names) + 1), *body])


def _cells(row: Row) -> Iterator[str]:
    yield from (str(row.size), str(row.width), str(row.seed))
    for space in SPACES:
        read = row.support[space]
        high = "..." if read["high"] is None else f"{read['high']:,.0f}"
        yield f"{read['value']:,.0f} [{read['low']:,.0f}, {high}]"
        yield f"{row.ratio(space):.2f}"
    yield f"{row.frechet:.1f}"


def draw(rows: list[Row]) -> Path:
    """The ratio to real digits, and the Frechet distance, over digits learnt from and over the width of D."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.2), dpi=110, layout="constrained")
    panels = figure.subplots(2, 2, sharex="col", sharey="row", height_ratios=[1.6, 1])
    fields = (("size", "digits it learnt from", SIZES), ("width", f"width of D ({SIZE:,} digits)", WIDTHS))
    for column, (field, label, values) in enumerate(fields):
        above, below = panels[:, column]
        own = [[row for row in rows if _varied(row, field, value)] for value in values]
        for space, colour in zip(SPACES, ("#c8442f", "#5b8db8"), strict=True):
            ratios = [[row.ratio(space) for row in group] for group in own]
            above.plot(values, [geometric_mean(group) for group in ratios], color=colour, label=f"by {space}")
            for value, group in zip(values, ratios, strict=True):
                above.plot([value] * len(group), group, ".", color=colour)
        above.axhline(1, color="#8a8a8a", lw=1, label="real digits")
        distances = [[row.frechet for row in group] for group in own]
        below.plot(values, [geometric_mean(group) for group in distances], color="#222222")
        for value, group in zip(values, distances, strict=True):
            below.plot([value] * len(group), group, ".", color="#222222")
        below.set(xlabel=label, xscale="log")
        below.set_xticks(values, [str(value) for value in values])
        below.minorticks_off()
        above.set_yscale("log")
        below.set_yscale("log")
    panels[0, 0].set_ylabel("support / that of real digits")
    panels[1, 0].set_ylabel("frechet")
    panels[0, 1].legend(frameon=False, fontsize=8)
    for panel in panels.flat:
        panel.spines[["right", "top"]].set_visible(False)
    figure.savefig(FIGURE)
    return FIGURE


def _varied(row: Row, field: str, value: int) -> bool:
    """Whether `row` belongs to the curve over `field` at `value`, the other being at its usual value."""
    usual = {"size": SIZE, "width": WIDTH} | {field: value}
    return row.size == usual["size"] and row.width == usual["width"]


if __name__ == "__main__":
    main()
