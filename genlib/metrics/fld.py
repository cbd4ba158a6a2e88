"""Feature likelihood divergence: the likelihood of held-out and of training images around generated ones.

Features are standardised by those of the test images; around each of m generated ones lies a Gaussian, whose v is
fitted to training images (Jiralerspong et al. 2023). Around a copy v_j shrinks, so test images become improbable:

    p(x) = 1 / (m + 1) (N(x; 0, v_0 I) + sum_j N(x; g_j, v_j I))
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor

from genlib.data.random import seeded_generator
from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.groups import group_index, kept_groups
from genlib.metrics.stats.intervals import NUM_GROUPS, group_slices

NUM_STEPS, LR = 50, 0.5  # of Adam (Kingma and Ba 2015) on log v, from 0; by hand: torch's first step takes seconds
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
MAX_FIT_IMAGES = 4000  # training and test images, at most
MAX_CENTRES = 1000  # generated images, at most


@dataclass(frozen=True)
class IsotropicMixture:
    """`centres` float64 [1 + m, d], the first of them the origin; `log_variance` float32 [1 + m]."""

    centres: Tensor
    log_variance: Tensor

    @classmethod
    def fit(cls, generated: Tensor, x: Tensor) -> Self:
        """The gradient of -log p(x_i) along log v_j is p(j|x_i) (d - |x_i - g_j|^2 / v_j) / 2."""
        centres = torch.cat([torch.zeros_like(generated[:1]), generated])
        squares, log_v = _squared_distances(x, centres), torch.zeros(len(centres))
        first, second, (n, d) = torch.zeros_like(log_v), torch.zeros_like(log_v), x.shape
        for step in range(1, NUM_STEPS + 1):
            v = log_v.exp()
            shares = ((squares / v + d * log_v) / -2).softmax(1)
            slope = (d * shares.sum(0) - (shares * squares).sum(0) / v) / (2 * n)
            first, second = first.lerp(slope, 1 - BETA1), second.lerp(slope.square(), 1 - BETA2)
            scale = (second / (1 - BETA2**step)).sqrt() + EPS
            log_v = log_v - LR * first / (1 - BETA1**step) / scale
        return cls(centres, log_v)

    def component_log_densities(self, x: Tensor) -> Tensor:
        """log N(x_i; g_j, v_j I), float64 [n, 1 + m]."""
        d, log_v = x.shape[1], self.log_variance.double()
        squares = _squared_distances(x, self.centres).double()
        return -(squares * (-log_v).exp() + d * (log_v + math.log(2 * math.pi))) / 2


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances, float32 [n, m], exactly 0 for equal rows."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square().float()


def grouped_nll(mixture: IsotropicMixture, x: Tensor) -> list[float]:
    """-log p(x) in nats a feature, mean over x [n, d]: of all images and components, and without each group of both."""
    terms = mixture.component_log_densities(x)
    groups = [slice(0, 1), *(slice(1 + g.start, 1 + g.stop) for g in group_slices(terms.shape[1] - 1))]
    densities = torch.stack([terms[:, g].logsumexp(1) for g in groups], 1)
    sizes, group = torch.tensor([g.stop - g.start for g in groups]), group_index(len(x))
    found = []
    for kept in kept_groups().bool():
        components = torch.cat([torch.ones(1, dtype=torch.bool), kept])
        density = densities[kept[group]][:, components].logsumexp(1) - sizes[components].sum().log()
        found.append(-float(density.mean()) / x.shape[1])
    return found


@metric(
    question=("Realistic?", 7),
    better="lower",
    min_images=40,
    must_detect={"collapse": "higher", "noise": "higher", "blurred": "higher"},
    verdict=("distribution", None),
    max_draws=39,
)
def fld(inputs: MetricInputs) -> MetricResult:
    """100 (NLL of test images - baseline) in nats a feature: the baseline is that of a mixture around half of the
    training images, fitted to the other half. About 0 for real images, higher for worse, copied or too few ones."""
    return _compare_nll(inputs, "test", "baseline")


@metric(
    question=("Original?", 4),
    better="real",
    min_images=40,
    must_detect={"copies": "lower"},
    verdict=("memorization", None),
    max_draws=39,
)
def fld_gap(inputs: MetricInputs) -> MetricResult:
    """100 (NLL of training - NLL of test images) in nats a feature, by the mixture of `fld`: far below 0 for copies."""
    return _compare_nll(inputs, "train", "test")


def _compare_nll(inputs: MetricInputs, name: str, reference: str) -> MetricResult:
    if len(inputs.train) < 2 * NUM_GROUPS:
        raise UndefinedMetric(f"needs at least {2 * NUM_GROUPS} training images, found {len(inputs.train)}")
    nll, sizes = _fit_mixtures(inputs.generated.features, inputs.train.features, inputs.test.features, inputs.seed)
    values = [100 * (a - b) for a, b in zip(nll[name], nll[reference], strict=True)]
    means = {f"nll_{key}": each[0] for key, each in nll.items()}
    return MetricResult.of_jackknife(values, n=inputs.n, **sizes, **means)


@lru_cache(maxsize=8)  # value, baseline and controls are asked for by two metrics
def _fit_mixtures(
    generated: Tensor, train: Tensor, test: Tensor, seed: int
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """NLL in nats a feature, of all images and without each group: of training and of test images around generated
    ones and, `baseline`, of test images around training ones. And how many there are of each."""
    g, x, y = standardize(generated[:MAX_CENTRES], train, test[:MAX_FIT_IMAGES], seed)
    mixture, half = IsotropicMixture.fit(g, x), len(x) // 2
    around_train = IsotropicMixture.fit(x[: min(MAX_CENTRES, half)], x[half:])
    density = around_train.component_log_densities(y).logsumexp(1) - math.log(len(around_train.centres))
    nll, group = -density / x.shape[1], group_index(len(y))
    baseline = [float(nll[kept[group]].mean()) for kept in kept_groups().bool()]
    sizes = {"train": len(x), "test": len(y), "centres": len(g)}
    return {"train": grouped_nll(mixture, x), "test": grouped_nll(mixture, y), "baseline": baseline}, sizes


def standardize(generated: Tensor, train: Tensor, test: Tensor, seed: int) -> tuple[Tensor, ...]:
    """By the mean and deviation of `test`; at most 4,000 rows of `train`; float64."""
    mean, deviation = test.double().mean(0), test.double().std(0)
    scale = torch.where(deviation > 0, deviation, 1)
    rows = torch.randperm(len(train), generator=seeded_generator(seed, "fitted"))[:MAX_FIT_IMAGES]
    return tuple((part.double() - mean) / scale for part in (generated, train[rows], test))
