"""Does it look real? Four distances between the generated and the test images in the judge's eyes."""

from __future__ import annotations

from statistics import fmean

import torch
from torch import Tensor

from genlib.evaluation.evidence import Evidence
from genlib.evaluation.intervals import group_slices, jackknife, of_mean, wilson
from genlib.evaluation.measure import Measure, Undefined
from genlib.evaluation.metric import metric
from genlib.evaluation.neighbours import nearest

SPLITS = 10
NEAREST = 5


@metric(minimum=100)
def inception_score(evidence: Evidence) -> Measure:
    """exp E_x KL(p(y|x) || p(y)), the mean of 10 splits (Salimans et al. 2016); from 1 to the number of classes.

    Interval: t over the splits. `detail.whole` is the score of all images at once, which factors exactly into
    variety = exp H(p(y)), the effective number of classes, times confidence = exp(-E_x H(p(y|x))), at most 1
    (Barratt and Sharma 2018). It sees neither copies nor sameness within a class.
    """
    p = evidence.made.probabilities.double()
    scores = [_score(p[part]) for part in group_slices(len(p), SPLITS)]
    low, high = of_mean(scores)
    detail = {"splits": SPLITS, "whole": _score(p), "variety": _variety(p), "confidence": _confidence(p)}
    return Measure(fmean(scores), low, high, n=len(p), detail=detail)


def _score(p: Tensor) -> float:
    return _variety(p) * _confidence(p)


def _variety(p: Tensor) -> float:
    return float(torch.special.entr(p.mean(0)).sum().exp())


def _confidence(p: Tensor) -> float:
    return float(torch.special.entr(p).sum(1).mean().neg().exp())


@metric(minimum=40, better="lower")
def frechet(evidence: Evidence) -> Measure:
    """||mu1 - mu2||^2 + Tr(S1 + S2 - 2 (S1 S2)^{1/2}) of the judge's features (Heusel et al. 2017); lower is better.

    S with divisor n - 1. Interval: delete-group jackknife over both sets. Biased upwards by O(1/n), so only values at
    equal n compare; it sees two moments and nothing else.
    """
    x, y = evidence.made.features.double(), evidence.real.features.double()
    n, d = x.shape
    if n <= d:
        raise Undefined(f"needs more images than the judge's {d} features, found {n}")
    value = frechet_distance(x, y)
    low, high = jackknife(value, [frechet_distance(_without(x, g), _without(y, g)) for g in group_slices(n)])
    mean = float((x.mean(0) - y.mean(0)).square().sum())
    return Measure(value, max(0.0, low), high, n=n, detail={"features": d, "mean": mean, "covariance": value - mean})


def _without(x: Tensor, group: slice) -> Tensor:
    return torch.cat([x[: group.start], x[group.stop :]])


def frechet_distance(x: Tensor, y: Tensor) -> float:
    """Between Gaussians of the moments of x and y, float64 [n, d].

    Tr (S1 S2)^{1/2} is the sum of the singular values of S1^{1/2} S2^{1/2}: no root of a matrix that is not symmetric.
    """
    cross = torch.linalg.svdvals(_root(x) @ _root(y)).sum()
    spread = x.var(0).sum() + y.var(0).sum() - 2 * cross
    return max(0.0, float((x.mean(0) - y.mean(0)).square().sum() + spread))


def _root(x: Tensor) -> Tensor:
    """The symmetric square root of the covariance of x."""
    values, vectors = torch.linalg.eigh(torch.atleast_2d(x.T.cov()))  # type: ignore[no-untyped-call]
    root: Tensor = vectors * values.clamp(min=0).sqrt() @ vectors.T
    return root


@metric(minimum=40, better="lower")
def kid(evidence: Evidence) -> Measure:
    """Unbiased squared MMD with k(x, y) = (x.y / d + 1)^3 of the judge's features (Binkowski et al. 2018).

    On all n images, not on subsets; lower is better, 0 in expectation for equal laws, so it may be negative. Interval:
    delete-group jackknife over both sets.
    """
    x, y = evidence.made.features.double(), evidence.real.features.double()
    groups = group_slices(len(x))
    sums = _block_sums(x, x, groups), _block_sums(y, y, groups), _block_sums(x, y, groups)
    sizes = [group.stop - group.start for group in groups]
    everything = torch.ones(len(groups), dtype=torch.bool)
    value = _mmd(sums, sizes, everything)
    low, high = jackknife(value, [_mmd(sums, sizes, torch.arange(len(groups)) != g) for g in range(len(groups))])
    return Measure(value, low, high, n=len(x), detail={"features": x.shape[1]})


def _block_sums(x: Tensor, y: Tensor, groups: list[slice]) -> Tensor:
    """Sums of the kernel over pairs of groups, [G, G]; where y is x, without the pairs of a row with itself."""
    sums = torch.stack([torch.stack([_kernel(x[g] @ y[h].T, x.shape[1]).sum() for h in groups]) for g in groups])
    if x is y:
        own = _kernel(x.square().sum(1), x.shape[1])
        sums -= torch.diag(torch.stack([own[group].sum() for group in groups]))
    return sums


def _kernel(products: Tensor, d: int) -> Tensor:
    base = products / d + 1
    return base * base * base


def _mmd(sums: tuple[Tensor, Tensor, Tensor], sizes: list[int], kept: Tensor) -> float:
    xx, yy, xy = (float(part[kept][:, kept].sum()) for part in sums)
    n = sum(size for size, keep in zip(sizes, kept.tolist(), strict=True) if keep)
    return (xx + yy) / (n * (n - 1)) - 2 * xy / n**2


@metric(minimum=20)
def coverage(evidence: Evidence) -> Measure:
    """Share of test images y with a generated image strictly nearer than y's 5th nearest other test image (Naeem et
    al. 2020); 1 - 2^-5 = 0.969 for equal laws. Interval: Wilson.

    A few good images in every neighbourhood suffice: it does not see what else the generator makes.
    """
    real, made = evidence.real.features, evidence.made.features
    radius = nearest(real, real, NEAREST, skip=torch.arange(len(real)))[0][:, -1]
    covered = int((nearest(real, made)[0][:, 0] < radius).sum())
    low, high = wilson(covered, len(real))
    return Measure(covered / len(real), low, high, n=len(real), detail={"k": NEAREST, "covered": covered})
