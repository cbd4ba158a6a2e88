"""Bayes' rule: p(y|x) = p(x|y) p(y) / sum_y' p(x|y') p(y'), in every direction in which a model leaves a gap.

From p(x|y) and p(y) to a classifier and to p(x); from an unconditional sampler and a classifier to p(x|y). All sums of
probabilities are taken of their logarithms, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from genlib.data.batches import seeded_generator

CHUNK_SIZE = 500  # pairs of an image and a sample, decoded at a time


class LikelihoodModel(Protocol):
    """A model with p(x, z) and q(z|x): log w = log p(x, z) - log q(z|x), [k, n] nats for noise [k, n, noise].

    `nll_offset`: nats to add to -log p(x) so that it speaks of intensities in [0, 1].
    """

    @property
    def noise_dim(self) -> int: ...
    @property
    def pixel_likelihood(self) -> str: ...
    @property
    def nll_offset(self) -> float: ...

    def binarize_or_dequantize(self, x: Tensor, u: Tensor) -> Tensor: ...
    def log_weights(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Tensor: ...


def importance_log_likelihood(
    model: LikelihoodModel,
    x: Tensor,
    *,
    num_samples: int,
    seed: int,
    y: Tensor | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> Tensor:
    """log p(x) by importance sampling: log of the mean of w over z_1, ..., z_samples ~ q(z|x); float64 [n].

    Burda et al. 2016, equation 8: in expectation a lower bound, which rises to log p(x) with `samples`. With labels y,
    log p(x|y). At most `chunk` pairs of an image and a sample are in memory; the noise drawn depends on it.
    """
    total = torch.full((len(x),), -math.inf, dtype=torch.float64)
    for rows, weights in _iter_log_weights(model, x, num_samples, seed, y, chunk_size):
        total[rows] = torch.logaddexp(total[rows], weights.logsumexp(0))
    return total - math.log(num_samples)


def estimate_elbo(
    model: LikelihoodModel,
    x: Tensor,
    *,
    num_samples: int,
    seed: int,
    y: Tensor | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> Tensor:
    """The evidence lower bound E_q log w by the mean over z_1, ..., z_samples ~ q(z|x); float64 [n]."""
    total = torch.zeros(len(x), dtype=torch.float64)
    for rows, weights in _iter_log_weights(model, x, num_samples, seed, y, chunk_size):
        total[rows] += weights.sum(0)
    return total / num_samples


@torch.no_grad()
def _iter_log_weights(
    model: LikelihoodModel, x: Tensor, num_samples: int, seed: int, y: Tensor | None, chunk_size: int
) -> Iterator[tuple[slice, Tensor]]:
    """Rows of x and their log w, float64 [k, rows] on the CPU, until every row has had `samples` of them."""
    generator = seeded_generator(seed, "importance")
    images, at_once = max(1, chunk_size // num_samples), min(num_samples, chunk_size)
    for start in range(0, len(x), images):
        rows = slice(start, min(start + images, len(x)))
        for first in range(0, num_samples, at_once):
            k = min(at_once, num_samples - first)
            noise = torch.randn(k, rows.stop - start, model.noise_dim, generator=generator).to(x.device)
            given = () if y is None else (y[rows].to(x.device),)
            yield rows, model.log_weights(x[rows], noise, *given).double().cpu()


def class_log_likelihoods(
    model: LikelihoodModel, x: Tensor, classes: int, *, num_samples: int, seed: int, chunk_size: int = CHUNK_SIZE
) -> Tensor:
    """log p(x|y) for every class y by k samples each, float64 [n, classes]; all classes get the same noise, so that
    less of it is left in their differences."""
    labels = [torch.full((len(x),), label) for label in range(classes)]
    found = [
        importance_log_likelihood(model, x, num_samples=num_samples, seed=seed, y=y, chunk_size=chunk_size)
        for y in labels
    ]
    return torch.stack(found, dim=1)


def log_frequencies(labels: Tensor, classes: int) -> Tensor:
    """log p(y) by counting, float64 [classes]; -inf for a class that never occurs."""
    return (labels.bincount(minlength=classes).double() / len(labels)).log()


def normalize_posterior(log_likelihood: Tensor, log_prior: Tensor) -> Tensor:
    """log p(y|x) [n, K] from log p(x|y) [n, K] and log p(y) [K]."""
    return (log_likelihood + log_prior).log_softmax(1)


def sum_over_classes(log_likelihood: Tensor, log_prior: Tensor) -> Tensor:
    """log p(x) [n] from log p(x|y) [n, K] and log p(y) [K]."""
    return (log_likelihood + log_prior).logsumexp(1)


def model_log_posterior(
    model: LikelihoodModel, x: Tensor, log_prior: Tensor, *, num_samples: int, seed: int, chunk_size: int = CHUNK_SIZE
) -> Tensor:
    """log p(y|x), float64 [n, K], by a model of p(x|y) whose likelihood takes k samples per image and class."""
    return normalize_posterior(
        class_log_likelihoods(model, x, len(log_prior), num_samples=num_samples, seed=seed, chunk_size=chunk_size),
        log_prior,
    )


@dataclass(frozen=True)
class ResampledRows:
    """`rows` int64 [n] of the images drawn; `effective`: of how many images their estimates are worth."""

    rows: Tensor
    effective_size: float


def importance_resample(probabilities: Tensor, y: int, n: int, seed: int) -> ResampledRows:
    """Draw n images from p(x|y), proportional to p(y|x) p(x), out of images that came from p(x).

    Importance resampling (Rubin 1988): rows are drawn with replacement by the weights w = p(y|x), `probabilities`
    [N, K] of a classifier.
    """
    weights = probabilities[:, y].double()
    if not weights.sum() > 0:
        raise ValueError(f"no image has any probability of class {y}")
    rows = torch.multinomial(weights, n, replacement=True, generator=seeded_generator(seed, "resample", y))
    return ResampledRows(rows, effective_sample_size(weights))


def effective_sample_size(weights: Tensor) -> float:
    """(sum w)^2 / sum w^2 (Kong 1992): N for equal weights, 1 where one weight has it all."""
    return float(weights.sum().square() / weights.square().sum())


@dataclass(frozen=True)
class PosteriorAgreement:
    """Of two posteriors on the same images: how often their most probable classes are the `same`, and the mean of
    KL(p || q) in `nats`."""

    same_class_rate: float
    mean_kl: float


def compare_posteriors(log_p: Tensor, log_q: Tensor) -> PosteriorAgreement:
    """Of log p(y|x) and log q(y|x), each [n, K]."""
    same = (log_p.argmax(1) == log_q.argmax(1)).double().mean()
    return PosteriorAgreement(float(same), float(kl_divergence(log_p, log_q).mean()))


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) in nats [n]; a class without probability under p adds nothing."""
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), 0.0).sum(1)
