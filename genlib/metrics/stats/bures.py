"""The Frechet distance of Gaussians as a function of the images: first and second order.

The optimal map from N(mu1, S1) to N(mu2, S2) has the matrix M = F^-T U s U' F^-1, where S1 = F F', S2 = G G' and F' G =
U s V'. The influence of an image x is 2 (mu1 - mu2).(x - mu1) + |x - mu1|^2 - (x - mu1)' M (x - mu1), less its mean.
For equal distributions that is 0, and with D = S1 - S2 in the axes of S, of eigenvalues l, the distance is
|mu1 - mu2|^2 + sum_ab D_ab^2 / (2 (l_a + l_b)).
"""

import math

import torch
from torch import Tensor

MIN_EIGENVALUE = 1e-5  # of the largest; smaller ones count as much
NODES = torch.arange(-5, 14, dtype=torch.float64)  # of the integral below, ln t in units of 1 / the largest sum


def frechet_influence(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Of each row of x and of y, float64 [n, d], on their Frechet distance: float64 [n], but for a constant."""
    (a, axes_a, root_a), (b, axes_b, root_b) = _principal_axes(x), _principal_axes(y)
    u, s, v = torch.linalg.svd((axes_a * root_a).T @ (axes_b * root_b))
    gap = x.mean(0) - y.mean(0)
    mapped = (_influence_of_map(*each, s) for each in ((a, axes_a, root_a, u), (b, axes_b, root_b, v.T)))
    of_x, of_y = (z.square().sum(1) - own for z, own in zip((a, b), mapped, strict=True))
    return of_x + 2 * a @ gap, of_y - 2 * b @ gap


def _principal_axes(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x about its mean [n, d], the eigenvectors [d, d] of its covariance and the roots of its eigenvalues [d]."""
    centred = x - x.mean(0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / (len(x) - 1))
    return centred, vectors, values.clamp(min=0).sqrt()


def _influence_of_map(x: Tensor, axes: Tensor, roots: Tensor, u: Tensor, s: Tensor) -> Tensor:
    """x' M x = sum_k s_k (u_k' F^-1 x)^2 for each row, where an axis without variance has no part."""
    inverse = torch.where(roots > 1e-6 * roots.max(), 1 / roots, 0)
    return (((x @ axes) * inverse @ u).square() * s).sum(1)


def frechet_kernel(x: Tensor, y: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x.y + sum_ab x_a x_b y_a y_b / (2 (l_a + l_b)), [m, m] within x, within y and between rows [m, d] about their
    means, in the axes of `covariance`."""
    values, axes = torch.linalg.eigh(covariance)
    values = values.clamp(min=MIN_EIGENVALUE * float(values[-1]))
    a, b = x @ axes, y @ axes
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
