"""How many different digits does a GAN draw from? Against the number of digits it learnt from, and the width of its D.

Arora, Risteski and Zhang 2018 ("Do GANs learn the distribution?") found on CelebA that the support of a GAN, by the
birthday paradox, grows nearly in step with the size of D, and then no more. Here GANs learn the digits at 16x16, and
2,000 images of each are held against radii that are the same for all: those at which 50 pairs of the 359 test digits
are the same. Under these real digits read 1,285, and what a GAN reads above that is no better than what it reads there.
The Frechet distance, of 359 images to as many test digits, tells the GANs whose images differ because they are good
from those whose images differ because they are bad.

Command: `python -m experiments.repertoire [--data PATH] [--state FOLDER]`, which also draws docs/repertoire.png.
Cost: twelve minutes of one core.
Expect: in features a support of 8 to 9 from 20 digits and 13,800 to 17,700 from 1,000; Frechet distances of 32 to 35
and 1.3 to 1.8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import torch
from torch import nn

from experiments.common import (
    DOCS,
    FinishedRows,
    hide_frame,
    markdown_table,
    new_parser,
    open_data,
    open_state,
    train_to_end,
)
from genlib.data.config import DataConfig
from genlib.data.dataset import Dataset
from genlib.data.images import Images, to_pixels
from genlib.metrics.inputs import FeatureSet, build_inputs, extract_features
from genlib.metrics.registry import get_metric
from genlib.metrics.stats.birthday import PointSet, calibrate_thresholds, num_pairs
from genlib.metrics.support import EXPECTED_COLLISIONS, count_duplicates
from genlib.models import gan
from genlib.objectives import adversarial
from genlib.training.config import TrainConfig
from genlib.training.job import TrainingJob
from genlib.training.loop import train
from genlib.training.state import TrainState

SIZES, WIDTHS = (20, 50, 100, 200, 500, 1000), (4, 8, 16, 32, 64)
SIZE, WIDTH = SIZES[-1], 32  # of what is not varied
SEEDS = (0, 1)
IMAGES, BATCH, RATE = 64_000, 64, 1.5e-3
SAMPLES = 2000
SPACES = ("features", "pixels")
FIGURE = DOCS / "repertoire.png"


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
    args = new_parser(__doc__, "prepared grey images [the digits at 16x16]").parse_args()
    torch.set_num_threads(1)
    with open_state(args.state) as state:
        data = open_data(args.data, DataConfig(name="digits", image_size=16), state)
        finished, reference = FinishedRows(state), cache(partial(Reference.from_data, data))

        def measure(size: int, width: int, seed: int) -> dict[str, Any]:
            return asdict(reference().evaluate(train_gan(data.train[:size], width, seed), size, width, seed))

        rows = []
        for size, width, seed in settings():
            rows.append(Row(**finished.get(f"{size} digits, width {width}, seed {seed}", measure, size, width, seed)))
            print(rows[-1], flush=True)
    print(format_table(rows))
    print(draw(rows))


def settings() -> list[tuple[int, int, int]]:
    """(digits, width of D, seed) of every GAN."""
    pairs = dict.fromkeys([*((size, WIDTH) for size in SIZES), *((SIZE, width) for width in WIDTHS)])
    return [(size, width, seed) for seed in SEEDS for size, width in pairs]


def train_gan(digits: Images, width: int, seed: int) -> nn.Module:
    """The averaged GAN after `IMAGES` images of `digits`."""
    torch.manual_seed(seed)
    model = gan.Build(digits.shape, 0, latent=32, width=32, width_d=width)
    phases = adversarial.Build(r1=0.05, lazy_reg_interval=4).phases(model)
    state = TrainState.create(model, phases, TrainConfig(lr=RATE, beta1=0.0, beta2=0.99))
    for _ in train(
        state,
        digits,
        TrainConfig(IMAGES, BATCH, seed=seed, ema=0.998, schedule="linear", decay_start=0.5, precision="float32"),
    ):
        pass
    return state.ema.eval()


@dataclass(frozen=True)
class Reference:
    """A classifier, and its features of the real digits."""

    classifier: nn.Module
    train: FeatureSet
    valid: FeatureSet
    test: FeatureSet

    @classmethod
    def from_data(cls, data: Dataset) -> Reference:
        config = TrainConfig(
            60_000, lr=2e-3, schedule="linear", decay_start=0.5, ema=0.99, precision="float32", report_every=60_000
        )
        model, objective = {"name": "resnet_classifier", "width": 16}, {"name": "classification"}
        classifier = train_to_end(TrainingJob("judge", model, objective, config, data))
        return cls(classifier, *(extract_features(classifier, part) for part in (data.train, data.valid, data.test)))

    def evaluate(self, model: nn.Module, size: int, width: int, seed: int) -> Row:
        fake = Images(to_pixels(model.sample(SAMPLES, seed=seed)))  # type: ignore[operator]
        made, rate = extract_features(self.classifier, fake), EXPECTED_COLLISIONS / num_pairs(len(self.test))
        support = {
            space: count_duplicates(calibrate_thresholds(_points(self.test, space), rate), _points(made, space))
            for space in SPACES
        }
        frechet = get_metric("frechet")(
            build_inputs(self.classifier, self.train, self.valid, self.test, made, SAMPLES, 0)
        ).value
        assert frechet is not None
        return Row(size, width, seed, support, frechet)


def _points(view: FeatureSet, space: str) -> PointSet:
    return PointSet(view.features if space == "features" else view.pixels.flatten(1), view.predicted_classes)


def format_table(rows: list[Row]) -> str:
    columns = [f"{part}, {space}" for space in SPACES for part in ("support", "/ real")]
    return markdown_table(["digits", "width of D", "seed", *columns, "frechet"], [list(_cells(row)) for row in rows], 0)


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
    hide_frame(panels.flat)
    figure.savefig(FIGURE)
    return FIGURE


def _varied(row: Row, field: str, value: int) -> bool:
    """Whether `row` belongs to the curve over `field` at `value`, the other being at its usual value."""
    usual = {"size": SIZE, "width": WIDTH} | {field: value}
    return row.size == usual["size"] and row.width == usual["width"]


if __name__ == "__main__":
    main()
