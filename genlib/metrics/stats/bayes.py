"""Bayes' rule, and log p(x|y) from a sampler: sums of probabilities are computed in log space, in float64."""

import math
from collections.abc import Iterator
from typing import Protocol

import torch
from torch import Tensor

from genlib.data.images import chunk_length
from genlib.data.random import seeded_generator


class LikelihoodModel(Protocol):
    """p(x, z) and q(z|x), by log w = log p(x, z) - log q(z|x), [k, n] nats for noise [k, n, noise_dim]."""

    @property
    def noise_dim(self) -> int: ...
    def log_weights(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Tensor: ...


def importance_log_likelihood(
    model: LikelihoodModel,
    x: Tensor,
    *,
    num_samples: int,
    seed: int,
    y: Tensor | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """log p(x), or log p(x|y), in expectation a lower bound: log of the mean of w over draws of q(z|x) (Burda et al.
    2016, equation 8), float64 [n]. The noise depends on `chunk_size`, the most pairs of an image and a sample
    that are decoded at a time, by default as many as their size allows."""
    total = torch.full((len(x),), -math.inf, dtype=torch.float64)
    for rows, log_w in _iter_log_weights(model, x, num_samples, seed, y, chunk_size):
        total[rows] = torch.logaddexp(total[rows], log_w.logsumexp(0))
    return total - math.log(num_samples)


def estimate_elbo(model: LikelihoodModel, x: Tensor, *, num_samples: int, seed: int, y: Tensor | None = None) -> Tensor:
    """The evidence lower bound E_q log w by the mean over draws of q(z|x); float64 [n]."""
    total = torch.zeros(len(x), dtype=torch.float64)
    for rows, log_w in _iter_log_weights(model, x, num_samples, seed, y, None):
        total[rows] += log_w.sum(0)
    return total / num_samples


@torch.no_grad()
def _iter_log_weights(
    model: LikelihoodModel, x: Tensor, num_samples: int, seed: int, y: Tensor | None, chunk_size: int | None
) -> Iterator[tuple[slice, Tensor]]:
    """Rows of x and their log w, float64 [k, rows] on the CPU, until every row has had its samples."""
    generator, chunk_size = seeded_generator(seed, "importance"), chunk_size or chunk_length(x.shape[1:])
    images, at_once = max(1, chunk_size // num_samples), min(num_samples, chunk_size)
    for start in range(0, len(x), images):
        rows = slice(start, min(start + images, len(x)))
        labels = () if y is None else (y[rows].to(x.device),)
        for first in range(0, num_samples, at_once):
            k = min(at_once, num_samples - first)
            noise = torch.randn(k, rows.stop - start, model.noise_dim, generator=generator).to(x.device)
            yield rows, model.log_weights(x[rows], noise, *labels).double().cpu()


def class_log_likelihoods(model: LikelihoodModel, x: Tensor, classes: int, *, num_samples: int, seed: int) -> Tensor:
    """log p(x|y) for every class y, float64 [n, classes]; the classes share the noise, for precise differences."""
    labels = [torch.full((len(x),), label) for label in range(classes)]
    found = [importance_log_likelihood(model, x, num_samples=num_samples, seed=seed, y=y) for y in labels]
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


def importance_resample(probabilities: Tensor, y: int, n: int, seed: int) -> tuple[Tensor, float]:
    """n rows drawn from p(x|y) out of images from p(x), by the weights w = p(y|x) (importance resampling; Rubin 1988),
    with `probabilities` [N, K]; and the effective sample size (sum w)^2 / sum w^2 (Kong 1992)."""
    weights = probabilities[:, y].double()
    if not weights.sum() > 0:
        raise ValueError(f"no image has any probability of class {y}")
    rows = torch.multinomial(weights, n, replacement=True, generator=seeded_generator(seed, "resample", y))
    return rows, float(weights.sum().square() / weights.square().sum())


def kl_divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(p || q) in nats [n], of log p(y|x) and log q(y|x) [n, K]."""
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), 0.0).sum(1)
