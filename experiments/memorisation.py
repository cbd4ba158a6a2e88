"""How few copies of training images a test finds, and that neither collapse nor blur looks like copying to it.

n generated images are real ones that no one trained on, of which a share has a fault. Copies of training images are
exact; jittered by noise of 10 grey levels; shifted by a pixel along an axis; rotated by 5 degrees either way (cubic
splines); mirrored; zoomed to 90 % about the centre; cropped by 2 pixels (1 of 16) on every side and enlarged again;
blurred by a Gaussian of one pixel; or blended, 70 % the copy and 30 % another training image. No copies are `one
image`, a held-out one repeated, and `blur`, held-out images blurred by one pixel.

Each test's p-value is its one-sided rank among draws of as many different real images, each draw with test images of
its own. It is run at 1 %; "not original" is Holm's at 5 % over the three tests. Distances are computed once for pools
of images, from which every repetition draws anew.

Command: `python -m experiments.memorisation [--data PATH] [--photos PATH] [--state FOLDER] [--figure FILE]`; `--data`
holds the files of MNIST, `--photos` the Parquet shards of CIFAR-10.
Cost: a minute and a half of one core for MNIST 16x16; the larger settings take several minutes each.
Expect: on MNIST 16x16 with n = 359 every test at 1 % alarms in about 1 % of real draws, "not original" in 3 to 5 %; in
at most 6 % whatever share of the images is one image, and in at most 4 % for blur; in all draws with 5 % of exact,
jittered, shifted, rotated, mirrored, zoomed or cropped copies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.results import record
from experiments.common import (
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
from genlib.data.images import Images
from genlib.data.random import seeded_generator
from genlib.evaluation.controls import blur_pixels
from genlib.metrics.authenticity import nearest_training
from genlib.metrics.copies import CopyRadius, nearest_aligned
from genlib.metrics.copying import average_cells, compare_cells, locate
from genlib.metrics.inputs import extract_features
from genlib.metrics.stats.clustering import kmeans_of_subset
from genlib.metrics.stats.distinct import MIN_DISTINCT
from genlib.training.config import TrainConfig
from genlib.training.job import TrainingJob

NUM_REAL, NUM_HELD_OUT, NUM_BLURRED, NUM_COPIES = 5000, 4000, 2000, 1000  # images of the pools
DOSES = (0, 1, 2, 5, 20, 50, 100)  # per cent
NULLS, REPEATS = 1000, 400
ALARM, FAMILY_ALARM = 0.01, 0.05
BOUND = 0.8
TESTS = {"authenticity": "#8a8a8a", "copying": "#5b8db8", "copies": "#c8442f"}  # and colours
ORIGINAL, ONE_IMAGE = "not original", "one image"

Rates = dict[str, dict[str, list[float]]]  # fault -> test -> how often it raises the alarm at each share of the images


@dataclass(frozen=True)
class Setting:
    """n images are judged, with `num_test` test images, by a classifier trained on `train` images of this size."""

    name: str
    data: str
    size: int
    train: int
    n: int
    num_test: int
    total: int

    def __str__(self) -> str:
        return f"{self.name} {self.size}x{self.size}, {self.train:,} training images, n = {self.n:,}"


SETTINGS = (
    Setting("MNIST", "mnist", 16, 1080, 359, 359, 70_000),
    Setting("MNIST", "mnist", 28, 35_000, 1000, 2000, 70_000),
    Setting("CIFAR-10", "parquet", 32, 10_000, 1000, 2000, 60_000),
)


@dataclass(frozen=True)
class Columns:
    """What the tests need to know of N images, each for itself: whether it is authentic, its distance to the nearest
    training image in features and its cell there, and the ratio of its aligned distances."""

    is_authentic: Tensor
    distance: Tensor
    cell: Tensor
    ratio: Tensor

    def __len__(self) -> int:
        return len(self.cell)

    def __getitem__(self, rows: Tensor) -> Columns:
        return Columns(*(part[rows] for part in vars(self).values()))

    def __add__(self, more: Columns) -> Columns:
        return Columns(*(torch.cat(pair) for pair in zip(vars(self).values(), vars(more).values(), strict=True)))

    def draw(self, n: int, rng: torch.Generator) -> Columns:
        """n of them, each at most once."""
        return self[torch.randperm(len(self), generator=rng)[:n]]

    def by_cell(self) -> list[Tensor]:
        return [self.distance[self.cell == c] for c in range(int(self.cell.max()) + 1)]


def main() -> None:
    parser = new_parser(__doc__, "the folder with the files of MNIST [data/raw]", Path("data/raw"))
    parser.add_argument("--photos", type=Path, help="the folder with the Parquet shards of CIFAR-10 [left out]")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    roots = {"mnist": args.data, "parquet": args.photos}
    with open_state(args.state) as state:
        finished = FinishedRows(state)
        rates: dict[Setting, Rates] = {}
        for setting in SETTINGS:
            if root := roots[setting.data]:
                rates[setting] = finished.get(str(setting), measure, setting, root, state)
                print(f"\n{setting}\n\n{format_table(rates[setting])}", flush=True)
    if args.figure:
        print(draw(rates[SETTINGS[0]], SETTINGS[0], args.figure))
    small, kinds = rates[SETTINGS[0]], ("exact", "shifted", "mirrored", "zoomed", "cropped")
    power = min(small[kind][ORIGINAL][DOSES.index(5)] for kind in kinds)
    detail = {str(setting): found for setting, found in rates.items()}
    name = "memorisation: power against 5 % of copies at n = 359 / 0.8"
    record(name, power / BOUND, 1.0, at_least=True, detail={"shares": DOSES, "rates": detail})


def measure(setting: Setting, root: Path, state: Path) -> Rates:
    held_out = (1 - setting.train / setting.total) / 2
    config = DataConfig(setting.data, root, image_size=setting.size, valid=held_out, test=held_out)
    data = open_data(None, config, state / f"{setting.data}-{setting.size}")
    return alarm_rates(setting, *extract_pools(data, setting))


def extract_pools(data: Dataset, setting: Setting) -> tuple[dict[str, Columns], Columns]:
    """The pools of real images, of each kind of copy and of blurred images; and the real ones to compare with."""
    train, scorer = data.train[:], train_classifier(data)
    known = extract_features(scorer, train).features
    centres = kmeans_of_subset(known, max(1, setting.n // 100), 0, "fitted")

    def see(images: Images) -> Columns:
        features = extract_features(scorer, images).features
        found, located = nearest_training(features, known), locate(features, known, centres)
        ratio = nearest_aligned(images.pixels, train.pixels).ratio
        return Columns(found.is_authentic, located.distance, located.cell, ratio)

    rng = seeded_generator("pools")
    real = data.valid[:] + data.test[:]
    real = real[torch.randperm(len(real), generator=rng)[: NUM_REAL + NUM_HELD_OUT]]
    print("classifier and training features are there", flush=True)
    pools = {"real": see(real[slice(NUM_REAL)]), "blur": see(Images(blur_pixels(real.pixels[:NUM_BLURRED])))}
    for kind, images in change_copies(train.pixels).items():
        pools[kind] = see(Images(images))
    return pools, see(real[slice(NUM_REAL, None)])


def train_classifier(data: Dataset) -> torch.nn.Module:
    config = TrainConfig(60_000, lr=2e-3, schedule="linear", decay_start=0.5, ema=0.99, report_every=60_000)
    model, objective = {"name": "cnn_classifier"}, {"name": "classification"}
    return train_to_end(TrainingJob("scorer", model, objective, config, data))


def change_copies(train: Tensor) -> dict[str, Tensor]:
    """Training images of [N, C, H, W], changed in each way."""
    from scipy import ndimage

    rng = np.random.default_rng(0)
    chosen, other = (train[rng.permutation(len(train))[:NUM_COPIES]].double() for _ in range(2))
    axes, signs = rng.integers(2, size=len(chosen)), rng.choice([-1, 1], len(chosen))
    steps = np.eye(2)[axes] * signs[:, None]
    x, border = chosen.numpy(), 1 + (train.shape[-1] > 16)
    changed = {
        "exact": chosen,
        "jittered": chosen + torch.from_numpy(rng.normal(scale=10, size=x.shape)),
        "shifted": np.stack([ndimage.shift(y, (0, *step), order=0) for y, step in zip(x, steps, strict=True)]),
        "rotated": np.stack([ndimage.rotate(y, 5 * s, (1, 2), reshape=False) for y, s in zip(x, signs, strict=True)]),
        "mirrored": chosen.flip(3),
        "zoomed": enlarge(chosen, 0.05 * train.shape[-1]),
        "cropped": enlarge(chosen, border),
        "blurred": blur_pixels(chosen),
        "blended": 0.7 * chosen + 0.3 * other,
    }
    return {kind: torch.as_tensor(images).round().clamp(0, 255).to(torch.uint8) for kind, images in changed.items()}


def enlarge(images: Tensor, border: float) -> Tensor:
    """What lies within a border of so many pixels, at the size of the whole (linear interpolation)."""
    zoom = 1 - 2 * border / images.shape[-1]
    grid = F.affine_grid(zoom * torch.eye(2, 3, dtype=images.dtype)[None], [1, *images.shape[1:]], align_corners=False)
    return F.grid_sample(images, grid.expand(len(images), -1, -1, -1), align_corners=False)


def alarm_rates(setting: Setting, pools: dict[str, Columns], held_out: Columns) -> Rates:
    rng, n, real = seeded_generator("power"), setting.n, pools["real"]

    def scores(make: Callable[[], Columns], repeats: int) -> Tensor:
        return torch.stack([score(make(), held_out.draw(setting.num_test, rng), n) for _ in range(repeats)])

    @cache
    def null(distinct: int) -> Tensor:
        return scores(lambda: real.draw(distinct, rng), NULLS)

    def plant(kind: str, k: int) -> Columns:
        """The different images among n, k of which have the fault."""
        if kind == ONE_IMAGE:
            return real.draw(min(n, n - k + 1), rng)
        return pools[kind].draw(k, rng) + real.draw(n - k, rng)

    def rates(kind: str, k: int) -> list[float]:
        """Of each test at 1 %, and of Holm's over all, which finds something if the smallest p-value does."""
        distinct = min(n, n - k + 1) if kind == ONE_IMAGE else n
        if distinct < MIN_DISTINCT:
            return [0.0] * (1 + len(TESTS))
        found = scores(lambda: plant(kind, k), REPEATS)
        p = (1 + (null(distinct) >= found[:, None]).sum(1)) / (1 + NULLS)
        alarms = torch.cat([p <= ALARM, p.amin(1, keepdim=True) <= FAMILY_ALARM / len(TESTS)], 1)
        return alarms.double().mean(0).tolist()

    found: Rates = {}
    for kind in [ONE_IMAGE, *(kind for kind in pools if kind != "real")]:
        by_dose = [rates(kind, n * dose // 100) for dose in DOSES]
        found[kind] = dict(zip((*TESTS, ORIGINAL), map(list, zip(*by_dose, strict=True)), strict=True))
    return found


def score(made: Columns, test: Columns, n: int) -> Tensor:
    """What each of TESTS finds, so that more means more copies."""
    authentic = float(made.is_authentic.double().mean())
    rows = compare_cells(made.by_cell(), test[:n].by_cell())
    c_t = average_cells(rows)[0] if rows else 0.0
    copies = CopyRadius.from_held_out(test.ratio).excess_share(made.ratio)
    return torch.tensor([-authentic, -c_t, copies], dtype=torch.float64)


def format_table(rates: Rates) -> str:
    rows = [
        (fault, test, *(f"{rate:.2f}" for rate in row)) for fault, tests in rates.items() for test, row in tests.items()
    ]
    return markdown_table(("fault", "test", *(f"{dose} %" for dose in DOSES)), rows, num_text_columns=2)


def draw(rates: Rates, setting: Setting, path: Path) -> Path:
    """How often the alarm is raised over the share of the images, a panel for each kind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), dpi=120, layout="constrained")
    panels = figure.subplots(3, 4, sharex=True, sharey=True)
    places = range(len(DOSES))
    for panel, (kind, tests) in zip(panels.flat, rates.items(), strict=False):
        for test, row in tests.items():
            panel.plot(places, row, marker="o", ms=3, color=TESTS.get(test, "black"), label=test)
        panel.axhline(ALARM, color="#cccccc", lw=1, ls=":")
        panel.axhline(BOUND, color="#cccccc", lw=1, ls=":")
        panel.set_title(kind)
        panel.set_xticks(places, [f"{dose} %" for dose in DOSES])
    hide_frame(panels.flat)
    for panel in panels[-1]:
        panel.set_xlabel(f"copies among {setting.n:,} images")
    for panel in panels[:, 0]:
        panel.set_ylabel("alarms")
    panels[0, 0].legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path)
    return path


if __name__ == "__main__":
    main()
