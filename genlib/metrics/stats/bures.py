"""The Frechet distance of Gaussians as a function of the images: value, first and second order.

With S1 = F F' the distance is |mu1 - mu2|^2 + Tr S1 + Tr S2 - 2 sum_k s_k, where s_k^2 are the eigenvalues of F' S2 F =
U s^2 U'. The optimal map from N(mu1, S1) to N(mu2, S2) has the matrix T = F^-1' U s U' F^-1, the one back its inverse F
U s^-1 U' F'. The influence of an image x is 2 (mu1 - mu2).(x - mu1) + |x - mu1|^2 - (x - mu1)' T (x - mu1), less its
mean. For equal distributions that is 0, and with D = S1 - S2 in the axes of S, of eigenvalues l, the distance is
|mu1 - mu2|^2 + sum_ab D_ab^2 / (2 (l_a + l_b)).
"""

import math

import torch
from torch import Tensor

from genlib.metrics.stats.gaussian import Gaussian

MIN_EIGENVALUE = 1e-5  # of the largest; smaller ones count as much
MIN_ROOT = 1e-6  # of the largest root of an eigenvalue, below which an axis has no variance
NODES = torch.arange(-5, 14, dtype=torch.float64)  # of the integral below, ln t in units of 1 / the largest sum


def squared_distance(x: Gaussian, y: Gaussian) -> float:
    """The Frechet distance, which is a square."""
    factor = _factor(x.covariance)
    cross = torch.linalg.eigvalsh(factor.T @ y.covariance @ factor).clamp(min=0).sqrt().sum()
    gap = (x.mean - y.mean).square().sum()
    return max(0.0, float(gap + x.covariance.trace() + y.covariance.trace() - 2 * cross))


def _factor(covariance: Tensor) -> Tensor:
    """F with S = F F': Cholesky's, or by eigenvectors, of which those without variance are left out."""
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if failed:
        values, vectors = torch.linalg.eigh(covariance)
        some = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
        factor = vectors[:, some] * values[some].sqrt()
    return factor


def frechet_influence(x: Gaussian, y: Gaussian) -> tuple[Tensor, Tensor]:
    """Of each row of x and of y on their distance, but for a constant: float64 [n]; of statistics alone, [0]."""
    values, axes = torch.linalg.eigh(x.covariance)
    roots = values.clamp(min=0).sqrt()
    inverse = torch.where(roots > MIN_ROOT * roots[-1], 1 / roots, 0)
    squares, u = torch.linalg.eigh((axes * roots).T @ y.covariance @ (axes * roots))
    s = squares.clamp(min=0).sqrt()
    there = (u * s.sqrt()).T * inverse @ axes.T  # |there x|^2 = x' T x
    back = (u * torch.where(s > MIN_ROOT * s[-1], s.rsqrt(), 0)).T * roots @ axes.T
    gap = x.mean - y.mean
    return _influence(x, gap, there), _influence(y, -gap, back)


def _influence(x: Gaussian, gap: Tensor, root_of_map: Tensor) -> Tensor:
    parts = [a.square().sum(1) + 2 * a @ gap - (a @ root_of_map.T).square().sum(1) for a in x.iter_centred()]
    return torch.cat([gap.new_empty(0), *parts])


def pool_covariances(x: Gaussian, y: Gaussian) -> Tensor:
    """Of both sets of rows, each about its own mean; where only one set has rows, the mean of the covariances."""
    if not x.n or not y.n:
        return (x.covariance + y.covariance) / 2
    return ((x.n - 1) * x.covariance + (y.n - 1) * y.covariance) / (x.n + y.n - 2)


def frechet_kernel(rows: Tensor, others: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x.y + sum_ab x_a x_b y_a y_b / (2 (l_a + l_b)), [m, m] within rows x, within y and between rows [m, d] about
    their means, in the axes of `covariance`."""
    values, axes = torch.linalg.eigh(covariance)
    values = values.clamp(min=MIN_EIGENVALUE * float(values[-1]))
    a, b = rows @ axes, others @ axes
    return _kernel(a, a, values), _kernel(b, b, values), _kernel(a, b, values)


def _kernel(a: Tensor, b: Tensor, values: Tensor) -> Tensor:
    """1 / (l_a + l_b) is the integral of exp(u - (l_a + l_b) e^u) over u, by trapezia, so that the sum over pairs of
    axes becomes a square for each node."""
    found, largest = a @ b.T, 2 * float(values[-1])
    if not largest:
        return found
    for u in (NODES - math.log(largest)).tolist():
        weighted = a * torch.exp(-math.exp(u) * values)
        found += math.exp(u) / 2 * (weighted @ b.T).square()
    return found
