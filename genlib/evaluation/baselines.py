"""What real images get in the place of the generated ones, by drawing both sides from the held-out images many times.

In a draw b, R_b stands for the test images: as many, with their numbers of each class. G_b stands for the generated
ones: n others, whose numbers of each class are those of n independent images. No image is drawn twice. Where the
held-out images are too few for both, the classes that are short give way on both sides alike, so that the difference of
the two class mixes keeps its law. A metric that does not compare images of both sides (`reference`: "train", "none")
gets sides of its own with the numbers they should have, which may share images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from genlib.data.random import seeded_generator
from genlib.evaluation.pool import ImagePool
from genlib.metrics.inputs import FeatureSet, MetricInputs, stratified_order
from genlib.metrics.registry import IMAGE_NEEDS, Metric, get_metric
from genlib.metrics.result import UndefinedMetric
from genlib.progress import ProgressWrapper, without_progress

MIN_DRAWS = 39
MAX_PAIRS = 2e8  # of images, over all draws: from n = 1,000 on there are fewer
QUANTILES = (0.025, 0.975)


class Draw(NamedTuple):
    """Rows of the pool: `generated` [n] and `test`, which share none, and such sides each with its own class mix."""

    generated: Tensor
    test: Tensor
    own_generated: Tensor
    own_test: Tensor


class DrawnInputs(NamedTuple):
    """The inputs of metrics in a draw: for those that compare images of both sides, and for the others."""

    paired: MetricInputs
    own: MetricInputs

    def statistic(self, metric: Metric) -> tuple[float, float]:
        return statistic(metric, self.paired if metric.reference == "test" else self.own)


@dataclass(frozen=True)
class Baseline:
    """The law of a metric's value for real images, float64 [B], and of its contrast with test images' own value, where
    that is what is tested; else the same."""

    values: Tensor
    contrasts: Tensor

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """That holds 95 % of the draws."""
        low, high = self.values.quantile(torch.tensor(QUANTILES, dtype=torch.float64)).tolist()
        return low, high


def num_draws(n: int, limit: int) -> int:
    return min(limit, max(MIN_DRAWS, int(MAX_PAIRS / n**2)))


class BaselineSampler:
    """Draws from the held-out images of `inputs`. `faulty`: further sets, which lie behind them in the pool."""

    def __init__(self, inputs: MetricInputs, faulty: Sequence[FeatureSet] = ()) -> None:
        self.pool = ImagePool([inputs.valid, inputs.test, *faulty])
        self.inputs = replace(
            inputs, model=None, second_inputs=None, ratings=(), controls={}, centres=_centres_or_none(inputs)
        )
        self.held_out = len(inputs.valid) + len(inputs.test)
        self.classes = self.inputs.classes_or_clusters()(self.pool.take(torch.arange(self.held_out)))
        self.kinds = torch.cat([_labels_or_zeros(images) for images in (inputs.valid, inputs.test)])

    def draw(self, index: int) -> Draw:
        """Draw b = `index` of `inputs.seed`."""
        inputs, generator = self.inputs, seeded_generator(self.inputs.seed, "baseline", str(index))
        order = torch.randperm(self.held_out, generator=generator)
        available = self.kinds.bincount()
        chances = available.double() / self.held_out
        wanted = torch.multinomial(chances, inputs.n, replacement=True, generator=generator)
        wanted = _within(wanted.bincount(minlength=len(available)), available)
        test = self.kinds[len(inputs.valid) :].bincount(minlength=len(available))
        mine, theirs = share_out(wanted, test, available)
        rank = _rank_in_kind(order, self.kinds)
        kind = self.kinds[order]
        taken = mine[kind]
        generated = order[rank < taken]
        rest = order[(rank >= taken) & (rank < taken + theirs[kind])]
        own_generated, own_test = order[rank >= (available - wanted)[kind]], order[rank < test[kind]]
        tests = (self._in_order(rows, index) for rows in (rest, own_test))
        return Draw(_shuffle(generated, generator), next(tests), _shuffle(own_generated, generator), next(tests))

    def _in_order(self, rows: Tensor, seed: int) -> Tensor:
        """In an order of which every part has the class mix of the whole, as test images are."""
        return rows[stratified_order(self.kinds[rows], len(rows), seed)]

    def build(self, draw: Draw) -> DrawnInputs:
        sides = ((draw.generated, draw.test), (draw.own_generated, draw.own_test))
        return DrawnInputs(*(replace(self.inputs, samples=self.pool.take(g), test=self.pool.take(r)) for g, r in sides))


def _labels_or_zeros(images: FeatureSet) -> Tensor:
    return torch.zeros(len(images), dtype=torch.long) if images.labels is None else images.labels


def _within(wanted: Tensor, available: Tensor) -> Tensor:
    """Counts near `wanted`, of the same sum, none above what there is of its class."""
    met = wanted.minimum(available)
    return met + _apportion(available - met, int((wanted - met).sum()))


def _centres_or_none(inputs: MetricInputs) -> Tensor | None:
    return None if inputs.has_class_names else inputs.cluster_centres()


def _shuffle(rows: Tensor, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)]


def _rank_in_kind(order: Tensor, kinds: Tensor) -> Tensor:
    """Of each row of `order`, how many of its kind come before it."""
    mine = kinds[order]
    grouped = mine.argsort(stable=True)
    counts = mine.bincount()
    rank = torch.empty_like(mine)
    rank[grouped] = torch.arange(len(mine)) - (counts.cumsum(0) - counts)[mine[grouped]]
    return rank


def share_out(wanted: Tensor, test: Tensor, available: Tensor) -> tuple[Tensor, Tensor]:
    """Counts of each class for both sides, near `wanted` and `test`, of the same sums, together at most `available`:
    where a class is short by e, both give way by e / 2, and both gain as much in classes that have images left.
    Neither side wants more of a class than there is."""
    excess = wanted + test - available
    short, spare = excess.clamp(min=0), (-excess).clamp(min=0)
    given = _apportion(spare, int(short.sum()))
    change = given - short
    first = torch.div(change, 2, rounding_mode="floor")
    first = _balance(first, change)
    return wanted + first, test + change - first


def _apportion(weights: Tensor, total: int) -> Tensor:
    """Whole numbers of sum `total` in proportion to `weights` and none above its weight, by largest remainder."""
    if not total:
        return torch.zeros_like(weights)
    exact = weights.double() * total / weights.sum()
    floors = exact.floor().long()
    last = (exact - floors).argsort(descending=True, stable=True)[: total - int(floors.sum())]
    return floors.index_add(0, last, torch.ones_like(last))


def _balance(first: Tensor, change: Tensor) -> Tensor:
    """`first`, halves of `change` rounded down, with as many of the odd ones rounded up as make its sum 0."""
    odd = (change - 2 * first).nonzero().flatten()[: -int(first.sum())]
    return first.index_add(0, odd, torch.ones_like(odd))


def statistic(metric: Metric, inputs: MetricInputs) -> tuple[float, float]:
    """The value, and what is tested: the value itself, what the metric names or, of a metric of the generated images
    alone, its difference from the value of the test images. NaN where it is undefined."""
    try:
        value = metric.value(inputs)
        if metric.tested is not None:
            return value, metric.tested(inputs)
        if metric.reference != "none":
            return value, value
        return value, value - metric.value(replace(inputs, samples=inputs.real))
    except UndefinedMetric:
        return torch.nan, torch.nan


def simulate(
    sampler: BaselineSampler, names: Iterable[str], track: ProgressWrapper = without_progress
) -> dict[str, Baseline]:
    """The baselines of those of `names` that are metrics of images."""
    metrics = {name: get_metric(name) for name in names if get_metric(name).needs in IMAGE_NEEDS}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in metrics}
    counts = {name: num_draws(sampler.inputs.n, metric.max_draws) for name, metric in metrics.items()}
    total = max(counts.values(), default=0)
    for index in track(range(total), "draws of real images"):
        drawn = sampler.build(sampler.draw(index))
        for name, metric in metrics.items():
            if index * counts[name] % total < counts[name]:  # spread over all draws, so that all take as long
                found[name].append(drawn.statistic(metric))
    return dict(_baselines(found))


def _baselines(found: Mapping[str, Sequence[tuple[float, float]]]) -> Iterator[tuple[str, Baseline]]:
    """Of the metrics that are defined in at least half of the draws."""
    for name, pairs in found.items():
        values = torch.tensor(pairs, dtype=torch.float64)
        values = values[values.isfinite().all(1)]
        if len(values) * 2 > len(pairs):
            yield name, Baseline(values[:, 0], values[:, 1])
