"""Do the generated images explain held-out ones, and training images better? Feature likelihood divergence.

Jiralerspong et al. 2023, "Feature likelihood divergence: evaluating the generalization of generative models using
samples". Features are standardised by those of the test images, and around each of m generated ones lies a Gaussian:

    p(x) = 1 / (m + 1) (N(x; 0, v_0 I) + sum_j N(x; g_j, v_j I)),

whose v are fitted to training images. Around a copy v_j shrinks to nothing, which test images pay for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from genlib.data.batches import seeded_generator
from genlib.metrics.inputs import MetricInputs
from genlib.metrics.registry import metric
from genlib.metrics.result import MetricResult, UndefinedMetric
from genlib.metrics.stats.intervals import NUM_GROUPS, group_slices, jackknife

NUM_STEPS, LR = (
    50,
    0.5,
)  # of Adam (Kingma and Ba 2015), on log v, from 0; by hand, since torch's first step takes seconds
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
MAX_FIT_IMAGES = 4000  # training and test images, at most
MAX_CENTRES = 1000  # generated images, at most


@dataclass(frozen=True)
class IsotropicMixture:
    """`centres` float64 [1 + m, d], the first of them the origin; `log_v` float32 [1 + m]."""

    centres: Tensor
    log_variance: Tensor

    @classmethod
    def fit(cls, generated: Tensor, x: Tensor) -> IsotropicMixture:
        """Around `made` [m, d], fitted to x [n, d]: the gradient of -log p(x_i) along log v_j is p(j|x_i) (d - |x_i -
        g_j|^2 / v_j) / 2."""
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


@dataclass(frozen=True)
class FldFit:
    """The negative log-likelihood in nats a feature of `train` and `test` under the mixture around generated images,
    each as `Grouped`, and of the test images under one around training images, float64 [n]."""

    train: GroupedDensity
    test: GroupedDensity
    baseline: Tensor


@dataclass(frozen=True)
class GroupedDensity:
    """Images under a mixture, so that both can lose a twentieth: log of the summed density of the origin and of each of
    the 20 groups of components, float64 [n, 1 + 20], the sizes of those [1 + 20], and the number of features."""

    group_log_densities: Tensor
    sizes: Tensor
    num_features: int

    @classmethod
    def from_mixture(cls, mixture: IsotropicMixture, x: Tensor) -> GroupedDensity:
        terms = mixture.component_log_densities(x)
        groups = [slice(0, 1), *(slice(1 + g.start, 1 + g.stop) for g in group_slices(terms.shape[1] - 1))]
        parts = torch.stack([terms[:, g].logsumexp(1) for g in groups], 1)
        return cls(parts, torch.tensor([g.stop - g.start for g in groups]), x.shape[1])

    def nll(self, left_out: int | None = None) -> float:
        """The mean, in nats a feature; without one of 20 groups of images and of components."""
        rows, kept = (
            torch.ones(len(self.group_log_densities), dtype=torch.bool),
            torch.ones(len(self.sizes), dtype=torch.bool),
        )
        if left_out is not None:
            rows[group_slices(len(rows))[left_out]], kept[1 + left_out] = False, False
        density = self.group_log_densities[rows][:, kept].logsumexp(1) - self.sizes[kept].sum().log()
        return -float(density.mean()) / self.num_features


@metric(min_images=40, better="lower", must_detect={"collapse": "higher", "noise": "higher"})
def fld(inputs: MetricInputs) -> MetricResult:
    """100 (NLL of test images - baseline) in nats a feature: the baseline is that of a mixture around half of the
    training images, fitted to the other half. About 0 for real images, higher for worse, copied or too few ones.

    At most 1,000 generated and 4,000 training images. Interval: delete-group jackknife over generated and test images,
    with the v as fitted.
    """
    fit = fit_mixtures(inputs)

    def value(without: int | None) -> float:
        kept = torch.ones(len(fit.baseline), dtype=torch.bool)
        if without is not None:
            kept[group_slices(len(kept))[without]] = False
        return 100 * (fit.test.nll(without) - float(fit.baseline[kept].mean()))

    return _result_of_fit(inputs, fit, value)


@metric(min_images=40, better="real", must_detect={"copies": "lower"})
def fld_gap(inputs: MetricInputs) -> MetricResult:
    """100 (NLL of training - NLL of test images) in nats a feature, under the mixture of `fld`: far below 0 for copies.

    A little below 0 for real images, since the v were fitted to the training ones; of those it takes at most 4,000, and
    sees copies of no others. Interval: delete-group jackknife over generated, training and test images, v as fitted.
    """
    fit = fit_mixtures(inputs)
    return _result_of_fit(inputs, fit, lambda without: 100 * (fit.train.nll(without) - fit.test.nll(without)))


def _result_of_fit(inputs: MetricInputs, fit: FldFit, value: Callable[[int | None], float]) -> MetricResult:
    whole = value(None)
    low, high = jackknife(whole, [value(g) for g in range(NUM_GROUPS)])
    detail = {
        "train": len(fit.train.group_log_densities),
        "test": len(fit.test.group_log_densities),
        "centres": int(fit.test.sizes.sum()) - 1,
        "nll_train": fit.train.nll(),
        "nll_test": fit.test.nll(),
        "nll_baseline": float(fit.baseline.mean()),
    }
    return MetricResult(whole, low, high, n=inputs.n, detail=detail)


def fit_mixtures(inputs: MetricInputs) -> FldFit:
    if len(inputs.train) < 2 * NUM_GROUPS:
        raise UndefinedMetric(f"needs at least {2 * NUM_GROUPS} training images, found {len(inputs.train)}")
    return _cached_fit(inputs.generated.features, inputs.train.features, inputs.test.features, inputs.seed)


@lru_cache(maxsize=8)  # value, null and controls are asked for by two metrics
def _cached_fit(generated: Tensor, train: Tensor, test: Tensor, seed: int) -> FldFit:
    g, x, y = standardize(generated[:MAX_CENTRES], train, test[:MAX_FIT_IMAGES], seed)
    mixture, half = IsotropicMixture.fit(g, x), len(x) // 2
    baseline = IsotropicMixture.fit(x[: min(MAX_CENTRES, half)], x[half:])
    density = baseline.component_log_densities(y).logsumexp(1) - math.log(len(baseline.centres))
    return FldFit(
        GroupedDensity.from_mixture(mixture, x), GroupedDensity.from_mixture(mixture, y), -density / x.shape[1]
    )


def standardize(generated: Tensor, train: Tensor, test: Tensor, seed: int) -> tuple[Tensor, ...]:
    """`made`, at most 4,000 rows of `train` and `test` by the mean and deviation of `test`, float64."""
    mean, deviation = test.double().mean(0), test.double().std(0)
    scale = torch.where(deviation > 0, deviation, 1)
    some = torch.randperm(len(train), generator=seeded_generator(seed, "fitted"))[:MAX_FIT_IMAGES]
    return tuple((part.double() - mean) / scale for part in (generated, train[some], test))
