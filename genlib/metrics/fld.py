"""Feature likelihood divergence: the likelihood of held-out and of training images around generated ones.

Features are standardised by those of the test images; around each of m generated ones lies a Gaussian, whose v is
fitted to training images (Jiralerspong et al. 2023). Around a copy v_j shrinks, so test images become improbable:

    p(x) = 1 / m sum_j N(x; g_j, v_j I)

In the fit alone N(0.9 (x - mean of training images); 0, v_0 I) is added, which keeps images far from all g_j finite.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Self

import torch
from torch import Tensor

from genlib.data.random import seeded_generator
from genlib.metrics.base import MetricInputs, MetricResult, UndefinedMetric, metric
from genlib.metrics.stats.strata import variance_of_mean

NUM_STEPS, LR = 50, 0.5  # of Adam (Kingma and Ba 2015) on log v; by hand: torch's first step takes seconds
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
ORIGIN_SCALE = 0.9**2  # of squared distances to the mean of the training images
MIN_SQUARE = 1e-3  # added to the squared distance from which a v_j starts
MAX_LOG_VARIANCE = 40.0
MIN_STEPS, MEMORY, TOLERANCE = 6, 5, 5e-4  # the fit ends once the last five losses differ by less
MAX_FIT_IMAGES = 4000  # training and test images, at most
MAX_CENTRES = 1000  # generated images, at most
MIN_TRAINING_IMAGES = 40


@dataclass(frozen=True)
class IsotropicMixture:
    """`centres` float64 [m, d], `log_variance` float32 [m]."""

    centres: Tensor
    log_variance: Tensor

    @classmethod
    def fit(cls, centres: Tensor, x: Tensor) -> Self:
        """Each v_j starts at that of the training image nearest to g_j. The loss is -mean log p / d."""
        d = x.shape[1]
        squares = _squared_distances(x, centres)
        origin = ORIGIN_SCALE * _squared_distances(x, x.mean(0, keepdim=True))
        start = ((squares.amin(0) + MIN_SQUARE) / d).log()
        bound = torch.cat([torch.full_like(start, MAX_LOG_VARIANCE), torch.tensor([torch.inf])])
        log_v = _minimize(torch.cat([squares, origin], 1), torch.cat([start, torch.zeros(1)]), d, bound)
        return cls(centres, log_v[:-1])

    def component_log_densities(self, x: Tensor) -> Tensor:
        """log N(x_i; g_j, v_j I), float64 [n, m]."""
        d, log_v = x.shape[1], self.log_variance.double()
        squares = _squared_distances(x, self.centres).double()
        return -(squares * (-log_v).exp() + d * (log_v + math.log(2 * math.pi))) / 2

    def score(self, x: Tensor) -> "Likelihood":
        terms, m = self.component_log_densities(x), len(self.centres)
        density = terms.logsumexp(1)
        return Likelihood((math.log(m) - density) / x.shape[1], m * (terms - density[:, None]).exp().mean(0))


class Likelihood(NamedTuple):
    """`nll`: -log p in nats a feature [n]. `weight`: of each Gaussian in it [m], on average 1."""

    nll: Tensor
    weight: Tensor


def _minimize(squares: Tensor, log_v: Tensor, d: int, bound: Tensor) -> Tensor:
    """The gradient of the loss along log v_j is the mean of p(j|x_i) (1 - |x_i - g_j|^2 / (v_j d)) / 2. The last column
    has weight 1, the others 1 / m."""
    weight = torch.full_like(log_v, -math.log(len(log_v) - 1))
    weight[-1] = 0
    first, second, losses = torch.zeros_like(log_v), torch.zeros_like(log_v), torch.zeros(0)
    for step in range(1, NUM_STEPS + 1):
        v = log_v.exp()
        terms = weight - (squares / v + d * (log_v + math.log(2 * math.pi))) / 2
        shares = terms.softmax(1)
        log_density = terms.amax(1) - shares.amax(1).log()  # logsumexp, whose largest share is exp(largest - it)
        losses = torch.cat([losses, -log_density.mean(0, keepdim=True) / d])
        slope = (shares.mean(0) - (shares * squares).mean(0) / (v * d)) / 2
        first, second = first.lerp(slope, 1 - BETA1), second.lerp(slope.square(), 1 - BETA2)
        scale = (second / (1 - BETA2**step)).sqrt() + EPS
        log_v = (log_v - LR * first / (1 - BETA1**step) / scale).clamp(-bound, bound)
        if step > MIN_STEPS and (losses[-1] - losses[-MEMORY:]).abs().max() < TOLERANCE:
            break
    return log_v


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances, float32 [n, m], exactly 0 for equal rows."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square().float()


@metric(
    question=("Realistic?", 7),
    better="lower",
    min_images=40,
    must_detect={"collapse": "higher", "noise": "higher", "blurred": "higher"},
    in_verdict=True,
    max_draws=29,
)
def fld(inputs: MetricInputs) -> MetricResult:
    """100 (NLL of test images - baseline) in nats a feature: the baseline is that of a mixture around part of the
    training images, fitted to the others. About 0 for real images, higher for worse, copied or too few ones."""
    fitted = _fit_generated(inputs)
    difference = fitted.test.nll - baseline_nll(inputs.train.features, inputs.test.features, inputs.seed, inputs.n)
    variance = variance_of_mean(difference, _test_strata(inputs)) + _variance_of_centres(fitted.test.weight, fitted)
    return _to_result(inputs, fitted, float(difference.mean()), variance)


@metric(
    question=("Original?", 4),
    better="real",
    min_images=40,
    must_detect={"copies": "lower"},
    in_verdict=True,
    max_draws=29,
)
def fld_gap(inputs: MetricInputs) -> MetricResult:
    """100 (NLL of training - NLL of test images) in nats a feature, by the mixture of `fld`: far below 0 for copies."""
    fitted = _fit_generated(inputs)
    train, test = fitted.train, fitted.test
    variance = variance_of_mean(train.nll) + variance_of_mean(test.nll, _test_strata(inputs))
    variance += _variance_of_centres(train.weight - test.weight, fitted)
    return _to_result(inputs, fitted, float(train.nll.mean() - test.nll.mean()), variance)


class FittedLikelihoods(NamedTuple):
    """Of training and test images by a mixture around generated ones, with d features."""

    train: Likelihood
    test: Likelihood
    d: int


def _fit_generated(inputs: MetricInputs) -> FittedLikelihoods:
    if len(inputs.train) < MIN_TRAINING_IMAGES:
        raise UndefinedMetric(f"needs at least {MIN_TRAINING_IMAGES} training images, found {len(inputs.train)}")
    return fit_likelihoods(inputs.generated.features, inputs.train.features, inputs.test.features, inputs.seed)


def _test_strata(inputs: MetricInputs) -> Tensor | None:
    labels = inputs.test.labels
    return None if labels is None else labels[:MAX_FIT_IMAGES]


def _variance_of_centres(weight: Tensor, fitted: FittedLikelihoods) -> float:
    """The influence of a generated image on the NLL is (1 - its weight) / d, its v held."""
    return variance_of_mean(weight / fitted.d)


def _to_result(inputs: MetricInputs, fitted: FittedLikelihoods, value: float, variance: float) -> MetricResult:
    train, test = fitted.train.nll, fitted.test.nll
    sizes = {"train": len(train), "test": len(test), "centres": len(fitted.test.weight)}
    means = {"nll_train": float(train.mean()), "nll_test": float(test.mean())}
    return MetricResult.of_variance(100 * value, 100**2 * variance, n=inputs.n, **sizes, **means)


@lru_cache(maxsize=8)  # two metrics ask
def fit_likelihoods(generated: Tensor, train: Tensor, test: Tensor, seed: int) -> FittedLikelihoods:
    g, x, y = standardize(generated[:MAX_CENTRES], train, test[:MAX_FIT_IMAGES], seed)
    mixture = IsotropicMixture.fit(g, x)
    return FittedLikelihoods(mixture.score(x), mixture.score(y), x.shape[1])


@lru_cache(maxsize=8)  # the value, the null and all controls have one
def baseline_nll(train: Tensor, test: Tensor, seed: int, n: int) -> Tensor:
    """Of test images, float64, around n training images, at most half of them, fitted to the others."""
    x, y = standardize(train[:0], train, test[:MAX_FIT_IMAGES], seed)[1:]
    size = min(n, MAX_CENTRES, len(x) // 2)
    return IsotropicMixture.fit(x[:size], x[size:]).score(y).nll


def standardize(generated: Tensor, train: Tensor, test: Tensor, seed: int) -> tuple[Tensor, ...]:
    """By the mean and deviation of `test`; at most 4,000 rows of `train`; float64."""
    mean, deviation = test.double().mean(0), test.double().std(0)
    scale = torch.where(deviation > 0, deviation, 1)
    rows = torch.randperm(len(train), generator=seeded_generator(seed, "fitted"))[:MAX_FIT_IMAGES]
    return tuple((part.double() - mean) / scale for part in (generated, train[rows], test))
