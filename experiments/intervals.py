"""How often the 95 % intervals of metrics hold the mean of their metric over new draws of both sets, and how wide they
are in standard deviations of that metric: 1.96 would do for one that is normal with a known deviation.

Mixtures of ten Gaussians in 32 dimensions stand for features: test images drawn at random or class by class, as
`prepare` does; the generator draws at random, from the same distribution or one that is wider. With `--data`, a folder
that holds MNIST, also 32 principal components of its pixels at 16 by 16, of real and of blurred images. Each interval
is made again from the same images in another order.

Command: `python -m experiments.intervals [--data FOLDER] [--state FOLDER] [--draws N] [--images N]`.
Cost: about a second a draw and distribution, most of it precision and recall.
Expect: 93 to 97 % held; at equal distributions half-widths of 1.9 to 2.3 deviations; no change with the order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from experiments.common import FinishedRows, markdown_table, new_parser, open_state
from genlib.data.config import DataConfig
from genlib.data.random import seeded_generator
from genlib.data.sources import mnist
from genlib.metrics.inputs import FeatureSet, MetricInputs
from genlib.metrics.registry import get_metric

NAMES = ("frechet", "kid", "precision", "recall", "density", "coverage", "inception_score", "support", "vendi")
COLUMNS = ("distribution", "metric", "mean", "sd", "held %", "too high %", "too low %", "half-width / sd", "order %")
CLASSES, D = 10, 32
CENTRES = 1.5 * torch.randn(CLASSES, D, generator=seeded_generator("centres"))
SPREADS = 0.3 + torch.rand(CLASSES, D, generator=seeded_generator("spreads"))

Draw = Callable[[int, int], MetricInputs]  # n, seed -> inputs


def main() -> None:
    parser = new_parser(__doc__, "a folder that holds MNIST [mixtures of Gaussians alone]")
    parser.add_argument("--draws", type=int, default=200)
    parser.add_argument("--images", type=int, default=359)
    args = parser.parse_args()
    with open_state(args.state) as state:
        finished, rows = FinishedRows(state), []
        for title, draw in distributions(args.data).items():
            key = f"{title}, {args.draws} draws of {args.images}"
            rows += finished.get(key, simulate, title, draw, args.draws, args.images)
    print(markdown_table(COLUMNS, rows, num_text_columns=2))


def distributions(data: Path | None) -> dict[str, Draw]:
    found: dict[str, Draw] = {
        "mixture, test at random": partial(draw_mixture, 1.0, False),
        "mixture, test by class": partial(draw_mixture, 1.0, True),
        "mixture, half as wide again": partial(draw_mixture, 1.5, True),
    }
    if data is not None:
        pool, blurred, labels = mnist_features(data)
        found["MNIST"] = partial(draw_images, pool, pool, labels)
        found["MNIST, blurred"] = partial(draw_images, blurred, pool, labels)
    return found


def simulate(title: str, draw: Draw, draws: int, n: int) -> list[list[str]]:
    """A row for each metric."""
    ends: dict[str, list[list[float]]] = {name: [] for name in NAMES}
    for seed in range(draws):
        inputs = draw(n, seed)
        order = torch.randperm(n, generator=seeded_generator("order", seed))
        turned = MetricInputs(inputs.train, inputs.valid, inputs.test, inputs.generated[order], 0)
        for name in NAMES:
            ends[name].append([*_ends(name, inputs), *(_ends(name, turned) if seed < 10 else (0.0, 0.0, 0.0))])
    return [[title, name, *summarize(torch.tensor(found, dtype=torch.float64))] for name, found in ends.items()]


def _ends(name: str, inputs: MetricInputs) -> tuple[float, ...]:
    result: Any = get_metric(name)(inputs)
    return tuple(float(end) for end in (result.value, result.low, result.high))


def summarize(ends: Tensor) -> list[str]:
    """Of values, low and high ends, and the same of other orders, [draws, 6]."""
    value, low, high, _, turned_low, turned_high = ends.T
    mean, sd = value.mean(), value.std()
    above, below = (low > mean).double().mean(), (high < mean).double().mean()
    change = ((turned_high - turned_low) / (high - low) - 1).abs()[:10].max()
    shares = (f"{100 * float(share):.1f}" for share in (1 - above - below, above, below))
    return [f"{mean:.4g}", f"{sd:.3g}", *shares, f"{float((high - low).mean() / 2 / sd):.2f}", f"{100 * change:.1f}"]


def draw_mixture(scale: float, by_class: bool, n: int, seed: int) -> MetricInputs:
    generator = seeded_generator("mixture", seed)
    chosen = torch.arange(n) % CLASSES if by_class else torch.randint(CLASSES, (n,), generator=generator)
    test, made = chosen, torch.randint(CLASSES, (n,), generator=generator)
    x, y = (CENTRES[c] + s * SPREADS[c] * torch.randn(n, D, generator=generator) for c, s in ((made, scale), (test, 1)))
    return as_inputs(x, y, test if by_class else None, CENTRES)


def draw_images(made: Tensor, real: Tensor, labels: Tensor, n: int, seed: int) -> MetricInputs:
    """Test images by class, then as many others at random."""
    order = torch.randperm(len(real), generator=seeded_generator("images", seed))
    counts = (labels.bincount() / len(labels) * n).round().long()
    by_class = [order[labels[order] == c][: int(count)] for c, count in enumerate(counts)]
    test = torch.cat([*by_class, order[-(n - int(counts.sum())) :] if counts.sum() < n else order[:0]])[:n]
    rest = order[~torch.isin(order, test)][:n]
    means = torch.stack([real[labels == c].mean(0) for c in range(CLASSES)])
    return as_inputs(made[rest], real[test], labels[test], means)


def as_inputs(x: Tensor, y: Tensor, labels: Tensor | None, means: Tensor) -> MetricInputs:
    """The classifier's doubt is that between the nearest class means."""
    made, test = (_as_set(features, each, means) for features, each in ((x, None), (y, labels)))
    return MetricInputs(test, test, test, made, 0)


def _as_set(features: Tensor, labels: Tensor | None, means: Tensor) -> FeatureSet:
    pixels = (features.view(len(features), 1, 4, 8) * 16 + 128).clamp(0, 255).to(torch.uint8)
    probabilities = (-torch.cdist(features, means).square() / D).softmax(1)
    return FeatureSet(pixels, labels, features.float(), probabilities.float())


def mnist_features(data: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Of training images and the same blurred by a 3 by 3 box: 32 principal components [N, 32]; and labels."""
    images = mnist(DataConfig(name="mnist", root=data, split="official")).train()
    x = F.interpolate(images.pixels.float() / 255, size=16, mode="area")  # type: ignore[union-attr]
    flat, blurred = x.flatten(1), F.avg_pool2d(x, 3, 1, 1).flatten(1)
    axes = torch.linalg.eigh(flat.T.cov()).eigenvectors[:, -D:]
    return (flat - flat.mean(0)) @ axes, (blurred - flat.mean(0)) @ axes, images.labels  # type: ignore[return-value]


if __name__ == "__main__":
    main()
