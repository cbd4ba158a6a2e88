"""How few copies a test of memorisation finds: its power against planted copies of MNIST training digits.

n = 1,000 images are judged, of which 0 to 100 % are copies of training images, exact or changed, and the others real
digits that no one trained on. A test raises the alarm where its value is beyond the 5 % quantile of what real digits
alone get, and its power is how often it does. Distances are computed once for pools of 10,000 real digits and of 3,000
copies of each kind, from which every repetition draws anew, as it draws the held-out digits that it compares with.

Copies are exact; jittered by noise of 10 grey levels; shifted by a pixel along an axis; rotated by 5 degrees either
way (cubic splines); blurred by a Gaussian of one pixel; or blended, 70 % the copy and 30 % another training image.

Command: `python -m experiments.memorisation [--data PATH] [--state FOLDER] [--runs FOLDER] [--fits N]
[--figure docs/memorisation.png]`; PATH holds the files of MNIST, the runs the `scorer`, trained on MNIST, pooled split,
seed 0.
Cost: a minute and a half of one core; `--fits N` adds `fld_gap` with N repetitions, 41 seconds for each.
Expect: `copies` finds 1 % of exact, jittered and shifted copies with a power of 0.98 or more; a power of 0.9 against
2 % of shifted or rotated copies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.results import record
from experiments.common import FinishedRows, hide_frame, markdown_table, new_parser, open_data, open_state
from genlib.data.config import DataConfig
from genlib.data.dataset import Dataset
from genlib.data.images import Images
from genlib.data.random import seeded_generator
from genlib.metrics.copies import MAX_HELD_OUT, CopyRadii
from genlib.metrics.copying import average_cells, compare_cells
from genlib.metrics.fld import MAX_FIT_IMAGES, IsotropicMixture, grouped_nll, standardize
from genlib.metrics.inputs import extract_features
from genlib.metrics.stats.clustering import assign_clusters, kmeans
from genlib.metrics.stats.neighbours import nearest
from genlib.metrics.stats.pixel_matching import aligned_distance
from genlib.registry import load

N = 1000
CELLS = N // 100
COPIES = 3000
DOSES = (0, 1, 2, 5, 20, 100)  # per cent
NULLS, REPEATS = 2000, 400
ALARM = 0.05
BOUND = 0.9
TESTS = {"authenticity": "#8a8a8a", "copying": "#5b8db8", "copies": "#c8442f", "fld_gap": "#d9a441"}  # and colours

Power = dict[str, dict[str, list[float]]]  # kind of copy -> test -> how often it raises the alarm at each of DOSES


@dataclass(frozen=True)
class PoolFeatures:
    """What the tests need to know of N images: the judge's features, whether each is authentic, its distance to the
    nearest training image in those features and its cell there, its registered distance and its class."""

    features: Tensor
    authentic: Tensor
    distance: Tensor
    cell: Tensor
    moved: Tensor
    kind: Tensor

    def __len__(self) -> int:
        return len(self.kind)

    def draw(self, n: int, rng: torch.Generator) -> PoolFeatures:
        """n of them, each at most once."""
        rows = torch.randperm(len(self), generator=rng)[:n]
        return PoolFeatures(*(part[rows] for part in vars(self).values()))

    def __add__(self, more: PoolFeatures) -> PoolFeatures:
        return PoolFeatures(*(torch.cat(pair) for pair in zip(vars(self).values(), vars(more).values(), strict=True)))


def main() -> None:
    parser = new_parser(__doc__, "the folder with the files of MNIST [data/raw]", Path("data/raw"))
    parser.add_argument("--runs", type=Path, default=Path("runs/train"))
    parser.add_argument("--fits", type=int, default=0, help="repetitions with fld_gap too")
    parser.add_argument("--figure", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with open_state(args.state) as state:
        data = open_data(None, DataConfig(name="mnist", root=args.data), state)
        power: Power = FinishedRows(state).get(f"{args.fits} fits", measure, data, args.runs / "scorer", args.fits)
    print(format_table(power))
    if args.figure:
        print(draw(power, args.figure))
    found = {kind: max(row[DOSES.index(2)] for row in power[kind].values()) for kind in ("shifted", "rotated")}
    name = "memorisation: power against 2 % of copies, shifted or rotated / 0.9"
    by_dose = {
        kind: {test: dict(zip(DOSES, row, strict=True)) for test, row in tests.items()} for kind, tests in power.items()
    }
    detail = {"n": N, "false_alarms": ALARM, "repetitions": REPEATS, "of fld_gap": args.fits, "power": by_dose}
    record(name, min(found.values()) / BOUND, 1.0, at_least=True, detail=detail)


def measure(data: Dataset, classifier: Path, fits: int) -> Power:
    pools, held_out, train = extract_pools(data, classifier)
    return compute_power(pools, held_out, train, fits)


def extract_pools(data: Dataset, classifier: Path) -> tuple[dict[str, PoolFeatures], PoolFeatures, Tensor]:
    """The pools "real" and of each kind of copy, the real digits that tests compare with, and training features."""
    scorer = load(classifier)
    train = extract_features(scorer, data.train)
    spacing = nearest(train.features, train.features, 1, skip=torch.arange(len(train)))[0][:, 0]
    centres = kmeans(train.features[torch.randperm(len(train), generator=seeded_generator("cells"))[:5000]], CELLS, 0)

    def see(images: Images) -> PoolFeatures:
        view = extract_features(scorer, images)
        distance, star = (part[:, 0] for part in nearest(view.features, train.features))
        moved = aligned_distance(view.pixels, train.pixels)[0]
        cell = assign_clusters(view.features, centres)
        return PoolFeatures(view.features, distance > spacing[star], distance, cell, moved, view.predicted_classes)

    half = len(data.test) // 2
    pools = {"real": see(data.valid + data.test[:half])}
    for kind, images in change_copies(data.train.pixels).items():
        pools[kind] = see(Images(images))
        print(f"features of {kind} copies", flush=True)
    return pools, see(data.test[half:]), train.features


def change_copies(train: Tensor) -> dict[str, Tensor]:
    """3,000 training images of [N, 1, H, W], changed in each way."""
    from scipy import ndimage

    rng = np.random.default_rng(0)
    chosen, other = (train[rng.permutation(len(train))[:COPIES], 0].double().numpy() for _ in range(2))
    axes, signs = rng.integers(2, size=COPIES), rng.choice([-1, 1], COPIES)
    steps = np.eye(2)[axes] * signs[:, None]
    changed = {
        "exact": chosen,
        "jittered": chosen + rng.normal(scale=10, size=chosen.shape),
        "shifted": np.stack([ndimage.shift(x, step, order=0) for x, step in zip(chosen, steps, strict=True)]),
        "rotated": np.stack([ndimage.rotate(x, 5 * s, reshape=False) for x, s in zip(chosen, signs, strict=True)]),
        "blurred": ndimage.gaussian_filter(chosen, (0, 1, 1)),
        "blended": 0.7 * chosen + 0.3 * other,
    }
    return {
        kind: torch.from_numpy(images).round().clamp(0, 255).to(torch.uint8)[:, None]
        for kind, images in changed.items()
    }


def compute_power(pools: dict[str, PoolFeatures], held: PoolFeatures, train: Tensor, fits: int) -> Power:
    rng = seeded_generator("power")
    real, kinds = pools["real"], [kind for kind in pools if kind != "real"]

    def scored(kind: str, m: int, repeats: int, fits: int) -> dict[str, Tensor]:
        def made() -> PoolFeatures:
            return pools[kind].draw(m, rng) + real.draw(N - m, rng)

        found = scores(made, held, repeats, rng)
        return {**found, "fld_gap": gaps(made, held, train, fits)} if fits else found

    null = scored("real", 0, NULLS, NULLS * fits // REPEATS)
    limit = {test: values.quantile(1 - ALARM) for test, values in null.items()}
    found: Power = {kind: {test: [] for test in null} for kind in kinds}
    for kind in kinds:
        for dose in DOSES:
            for test, values in scored(kind, N * dose // 100, REPEATS, fits).items():
                found[kind][test].append(float((values > limit[test]).double().mean()))
        print(f"power against {kind} copies", flush=True)
    return found


def scores(
    made: Callable[[], PoolFeatures], held: PoolFeatures, repeats: int, rng: torch.Generator
) -> dict[str, Tensor]:
    """What each test but `fld_gap` finds, so that more means more copies, float64 [repeats]."""
    found = []
    for _ in range(repeats):
        x, y = made(), held.draw(MAX_HELD_OUT, rng)
        authenticity = x.authentic.double().mean()
        copying = average_cells(compare_cells(by_cell(x), by_cell(held.draw(N, rng))))[0]
        radii = CopyRadii.from_held_out(y.moved, y.kind, 10)
        copies = (x.moved < radii.radius[x.kind]).double().mean() - radii.chance[x.kind].mean()
        found.append([-float(authenticity), -copying, float(copies)])
    columns = torch.tensor(found, dtype=torch.float64).T
    return dict(zip(("authenticity", "copying", "copies"), columns, strict=True))


def gaps(made: Callable[[], PoolFeatures], held: PoolFeatures, train: Tensor, repeats: int) -> Tensor:
    """-`fld_gap`, float64 [repeats]."""
    found = []
    for _ in range(repeats):
        g, x, y = standardize(made().features, train, held.features[:MAX_FIT_IMAGES], 0)
        mixture = IsotropicMixture.fit(g, x)
        found.append(grouped_nll(mixture, y)[0] - grouped_nll(mixture, x)[0])
    return torch.tensor(found, dtype=torch.float64)


def by_cell(images: PoolFeatures) -> list[Tensor]:
    return [images.distance[images.cell == c] for c in range(CELLS)]


def format_table(power: Power) -> str:
    rows = [
        (kind, test, *(f"{share:.2f}" for share in row)) for kind, tests in power.items() for test, row in tests.items()
    ]
    return markdown_table(("copies", "test", *(f"{dose} %" for dose in DOSES)), rows, num_text_columns=2)


def draw(power: Power, path: Path) -> Path:
    """Power over the share of copies, a panel for each kind."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 5), dpi=120, layout="constrained")
    panels = figure.subplots(2, 3, sharex=True, sharey=True)
    places = range(len(DOSES))
    for panel, (kind, tests) in zip(panels.flat, power.items(), strict=True):
        for test, row in tests.items():
            panel.plot(places, row, marker="o", ms=3, color=TESTS[test], label=test)
        panel.axhline(ALARM, color="#cccccc", lw=1, ls=":")
        panel.axhline(BOUND, color="#cccccc", lw=1, ls=":")
        panel.set_title(kind)
        panel.set_xticks(places, [f"{dose} %" for dose in DOSES])
    hide_frame(panels.flat)
    for panel in panels[1]:
        panel.set_xlabel(f"copies among {N:,} images")
    for panel in panels[:, 0]:
        panel.set_ylabel("power")
    panels[0, 0].legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path)
    return path


if __name__ == "__main__":
    main()
