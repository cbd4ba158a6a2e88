"""A mixture of Gaussians with full covariances, fitted by expectation maximisation. Dempster, Laird and Rubin 1977.
Against singular covariances every point counts as a cloud N(z, r I): the objective is sum_i log sum_k w_k exp E log
N(z_i + e; m_k, S_k), e ~ N(0, r I), where the expectation is log N(z_i; m_k, S_k) less r tr(S_k^-1) / 2. The M-step
then adds r I to each covariance."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from genlib.data.random import seeded_generator

RELATIVE_RIDGE = 1e-3  # r in units of the points' mean variance
MAX_EM_STEPS = 200
MIN_GAIN = 1e-4  # nats per point: a smaller gain of the objective ends the fit


@dataclass(frozen=True)
class MixtureParameters:
    """`weights` [k], `means` [k, d], `roots` [k, d, d] (Cholesky factors of the covariances); `ridge` is r."""

    weights: Tensor
    means: Tensor
    roots: Tensor
    ridge: float

    def log_joint(self, z: Tensor) -> Tensor:
        """log w_k + E log N(z + e; m_k, S_k) [n, k]."""
        d, columns = z.shape[1], []
        for weight, mean, root in zip(self.weights, self.means, self.roots, strict=True):
            inverse = torch.linalg.solve_triangular(root, torch.eye(d, dtype=z.dtype, device=z.device), upper=False)
            squares = ((z - mean) @ inverse.T).square().sum(1) + self.ridge * inverse.square().sum()
            columns.append(weight.log() - root.diagonal().log().sum() - d / 2 * math.log(2 * math.pi) - squares / 2)
        return torch.stack(columns, 1)


def m_step(z: Tensor, responsibilities: Tensor, ridge: float) -> MixtureParameters:
    """The maximum-likelihood mixture of points z [n, d] with `responsibilities` [n, k] of the components."""
    counts = responsibilities.sum(0).clamp(min=1e-9)
    means = responsibilities.T @ z / counts[:, None]
    eye = ridge * torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    covariances = [
        (z - m).T @ ((z - m) * (r / n)[:, None]) + eye
        for m, r, n in zip(means, responsibilities.T, counts, strict=True)
    ]
    return MixtureParameters(counts / counts.sum(), means, torch.linalg.cholesky(torch.stack(covariances)), ridge)


def kmeans_pp_centers(z: Tensor, k: int) -> Tensor:
    """k rows of z, drawn by their squared distance to the nearest one drawn before (Arthur and Vassilvitskii 2007)."""
    uniforms = torch.rand(k, dtype=torch.float64, generator=seeded_generator("mixture")).to(z.device)
    weights, squares = torch.ones_like(z[:, 0]), torch.full_like(z[:, 0], math.inf)
    centers: list[Tensor] = []
    for u in uniforms:
        total = weights.cumsum(0)
        centers.append(z[torch.searchsorted(total, u * total[-1]).clamp(max=len(z) - 1)])
        weights = squares = torch.minimum(squares, (z - centers[-1]).square().sum(1))
    return torch.stack(centers)


def fit_em(z: Tensor, k: int, ridge: float) -> tuple[MixtureParameters, list[float]]:
    """The mixture of k Gaussians fitted to z float64 [n, d], and the objective per point after each step."""
    nearest = torch.cdist(z, kmeans_pp_centers(z, k)).argmin(1)
    responsibilities = torch.eye(k, dtype=z.dtype, device=z.device)[nearest]
    objective: list[float] = []
    for _ in range(MAX_EM_STEPS):
        mixture = m_step(z, responsibilities, ridge)
        log_joint = mixture.log_joint(z)
        objective.append(float(log_joint.logsumexp(1).mean()))
        if len(objective) > 1 and objective[-1] - objective[-2] < MIN_GAIN:
            break
        responsibilities = log_joint.softmax(1)
    return mixture, objective


class GaussianMixture(nn.Module):
    """The standard normal of `dim` dimensions until `fit` to points [n, dim]; equal points give equal fits."""

    def __init__(self, components: int, dim: int) -> None:
        super().__init__()
        self.weights = nn.Buffer(torch.full((components,), 1 / components))
        self.means = nn.Buffer(torch.zeros(components, dim))
        self.roots = nn.Buffer(torch.eye(dim).repeat(components, 1, 1))

    @torch.no_grad()
    def fit(self, z: Tensor) -> None:
        z = z.double()
        ridge = max(1e-12, RELATIVE_RIDGE * float(z.var(0, correction=0).mean()))
        fitted, _ = fit_em(z, len(self.weights), ridge)
        for name in ("weights", "means", "roots"):
            getattr(self, name).copy_(getattr(fitted, name))

    def sample_from_noise(self, noise: Tensor) -> Tensor:
        """Points [n, dim] of standard normal noise [n, dim + 1]; the last column chooses the component."""
        levels = self.weights.cumsum(0)
        chosen = torch.searchsorted(levels, torch.special.ndtr(noise[:, -1].contiguous())).clamp(max=len(levels) - 1)
        return self.means[chosen] + torch.einsum("nij,nj->ni", self.roots[chosen], noise[:, :-1])
