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

from genlib.data.batches import seeded
from genlib.metrics.inputs import Evidence
from genlib.metrics.registry import metric
from genlib.metrics.result import Measure, Undefined
from genlib.metrics.stats.intervals import GROUPS, group_slices, jackknife

STEPS, LR = 50, 0.5  # of Adam (Kingma and Ba 2015), on log v, from 0; by hand, since torch's first step takes seconds
BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
FITTED = 4000  # training and test images, at most
CENTRES = 1000  # generated images, at most


@dataclass(frozen=True)
class Mixture:
    """`centres` float64 [1 + m, d], the first of them the origin; `log_v` float32 [1 + m]."""

    centres: Tensor
    log_v: Tensor

    @classmethod
    def fit(cls, made: Tensor, x: Tensor) -> Mixture:
        """Around `made` [m, d], fitted to x [n, d]: the gradient of -log p(x_i) along log v_j is p(j|x_i) (d - |x_i -
        g_j|^2 / v_j) / 2."""
        centres = torch.cat([torch.zeros_like(made[:1]), made])
        squares, log_v = _squares(x, centres), torch.zeros(len(centres))
        first, second, (n, d) = torch.zeros_like(log_v), torch.zeros_like(log_v), x.shape
        for step in range(1, STEPS + 1):
            v = log_v.exp()
            shares = ((squares / v + d * log_v) / -2).softmax(1)
            slope = (d * shares.sum(0) - (shares * squares).sum(0) / v) / (2 * n)
            first, second = first.lerp(slope, 1 - BETA1), second.lerp(slope.square(), 1 - BETA2)
            scale = (second / (1 - BETA2**step)).sqrt() + EPS
            log_v = log_v - LR * first / (1 - BETA1**step) / scale
        return cls(centres, log_v)

    def terms(self, x: Tensor) -> Tensor:
        """log N(x_i; g_j, v_j I), float64 [n, 1 + m]."""
        d, log_v = x.shape[1], self.log_v.double()
        squares = _squares(x, self.centres).double()
        return -(squares * (-log_v).exp() + d * (log_v + math.log(2 * math.pi))) / 2


def _squares(x: Tensor, y: Tensor) -> Tensor:
    """Squared distances, float32 [n, m], exactly 0 for equal rows."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square().float()


@dataclass(frozen=True)
class Fit:
    """The negative log-likelihood in nats a feature of `train` and `test` under the mixture around generated images,
    each as `Grouped`, and of the test images under one around training images, float64 [n]."""

    train: Grouped
    test: Grouped
    baseline: Tensor


@dataclass(frozen=True)
class Grouped:
    """Images under a mixture, so that both can lose a twentieth: log of the summed density of the origin and of each of
    the 20 groups of components, float64 [n, 1 + 20], the sizes of those [1 + 20], and the number of features."""

    parts: Tensor
    sizes: Tensor
    d: int

    @classmethod
    def of(cls, mixture: Mixture, x: Tensor) -> Grouped:
        terms = mixture.terms(x)
        groups = [slice(0, 1), *(slice(1 + g.start, 1 + g.stop) for g in group_slices(terms.shape[1] - 1))]
        parts = torch.stack([terms[:, g].logsumexp(1) for g in groups], 1)
        return cls(parts, torch.tensor([g.stop - g.start for g in groups]), x.shape[1])

    def nll(self, without: int | None = None) -> float:
        """The mean, in nats a feature; without one of 20 groups of images and of components."""
        rows, kept = torch.ones(len(self.parts), dtype=torch.bool), torch.ones(len(self.sizes), dtype=torch.bool)
        if without is not None:
            rows[group_slices(len(rows))[without]], kept[1 + without] = False, False
        density = self.parts[rows][:, kept].logsumexp(1) - self.sizes[kept].sum().log()
        return -float(density.mean()) / self.d


@metric(minimum=40, better="lower", catches={"collapse": "higher", "noise": "higher"})
def fld(evidence: Evidence) -> Measure:
    """100 (NLL of test images - baseline) in nats a feature: the baseline is that of a mixture around half of the
    training images, fitted to the other half. About 0 for real images, higher for worse, copied or too few ones.

    At most 1,000 generated and 4,000 training images. Interval: delete-group jackknife over generated and test images,
    with the v as fitted.
    """
    fit = fitted(evidence)

    def value(without: int | None) -> float:
        kept = torch.ones(len(fit.baseline), dtype=torch.bool)
        if without is not None:
            kept[group_slices(len(kept))[without]] = False
        return 100 * (fit.test.nll(without) - float(fit.baseline[kept].mean()))

    return _measured(evidence, fit, value)


@metric(minimum=40, better="real", catches={"copies": "lower"})
def fld_gap(evidence: Evidence) -> Measure:
    """100 (NLL of training - NLL of test images) in nats a feature, under the mixture of `fld`: far below 0 for copies.

    A little below 0 for real images, since the v were fitted to the training ones; of those it takes at most 4,000, and
    sees copies of no others. Interval: delete-group jackknife over generated, training and test images, v as fitted.
    """
    fit = fitted(evidence)
    return _measured(evidence, fit, lambda without: 100 * (fit.train.nll(without) - fit.test.nll(without)))


def _measured(evidence: Evidence, fit: Fit, value: Callable[[int | None], float]) -> Measure:
    whole = value(None)
    low, high = jackknife(whole, [value(g) for g in range(GROUPS)])
    detail = {
        "train": len(fit.train.parts),
        "test": len(fit.test.parts),
        "centres": int(fit.test.sizes.sum()) - 1,
        "nll_train": fit.train.nll(),
        "nll_test": fit.test.nll(),
        "nll_baseline": float(fit.baseline.mean()),
    }
    return Measure(whole, low, high, n=evidence.n, detail=detail)


def fitted(evidence: Evidence) -> Fit:
    if len(evidence.train) < 2 * GROUPS:
        raise Undefined(f"needs at least {2 * GROUPS} training images, found {len(evidence.train)}")
    return _fitted(evidence.made.features, evidence.train.features, evidence.test.features, evidence.seed)


@lru_cache(maxsize=8)  # value, null and controls are asked for by two metrics
def _fitted(made: Tensor, train: Tensor, test: Tensor, seed: int) -> Fit:
    g, x, y = standardised(made[:CENTRES], train, test[:FITTED], seed)
    mixture, half = Mixture.fit(g, x), len(x) // 2
    baseline = Mixture.fit(x[: min(CENTRES, half)], x[half:])
    density = baseline.terms(y).logsumexp(1) - math.log(len(baseline.centres))
    return Fit(Grouped.of(mixture, x), Grouped.of(mixture, y), -density / x.shape[1])


def standardised(made: Tensor, train: Tensor, test: Tensor, seed: int) -> tuple[Tensor, ...]:
    """`made`, at most 4,000 rows of `train` and `test` by the mean and deviation of `test`, float64."""
    mean, deviation = test.double().mean(0), test.double().std(0)
    scale = torch.where(deviation > 0, deviation, 1)
    some = torch.randperm(len(train), generator=seeded(seed, "fitted"))[:FITTED]
    return tuple((part.double() - mean) / scale for part in (made, train[some], test))
