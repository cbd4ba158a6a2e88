"""Models with a likelihood: a linear Gaussian one with known evidence and posterior, and small ones of every kind."""

from __future__ import annotations

import math

import torch
from scipy.stats import multivariate_normal
from torch import nn
from torch.distributions import Independent, Normal

from genlib.data.batches import batches
from genlib.data.images import Images
from genlib.models import cvae, iwae, vae
from genlib.models.layers.diagonal_normal import DiagonalNormal
from genlib.models.layers.latent_variable import LatentVariableModel
from genlib.models.layers.pixel_likelihood import Gaussian
from genlib.objectives import elbo
from genlib.objectives import iwae as iwae_bound

SHAPE = (1, 2, 3)


SIGMA = 0.5


N = 8


class Linear(LatentVariableModel):
    """z ~ N(0, 1), x ~ N(W z + b, SIGMA^2), W with orthogonal columns, so that the posterior is diagonal.

    q(z|x) = N(A (x - b) + a, e^v); `exact` makes it the posterior.
    """

    def __init__(self, *, exact=True):
        super().__init__(SHAPE, 2, "gray_bce")
        generator = torch.Generator().manual_seed(3)
        w = torch.linalg.qr(torch.randn(6, 2, generator=generator, dtype=torch.float64))[0] * torch.tensor([1.5, 0.7])
        variance = 1 / (1 + w.square().sum(0) / SIGMA**2)
        off = 0.0 if exact else 1.0
        self.w = nn.Parameter(w)
        self.b = nn.Parameter(torch.randn(6, generator=generator, dtype=torch.float64))
        self.a_matrix = nn.Parameter(variance[:, None] * w.T / SIGMA**2)
        self.a = nn.Parameter(off * 0.3 * torch.ones(2, dtype=torch.float64))
        self.v = nn.Parameter(variance.log() + off * 0.5)

    def encode(self, x, y=None):
        mean = (x.flatten(1) - self.b) @ self.a_matrix.T + self.a
        return DiagonalNormal(mean, self.v.expand_as(mean))

    def decode(self, z, y=None):
        mean = (z @ self.w.T + self.b).view(-1, *SHAPE)
        return Gaussian(mean, torch.full_like(mean, 2 * math.log(SIGMA)))


def evidence(model, x):
    w, b = model.w.detach(), model.b.detach()
    covariance = w @ w.T + SIGMA**2 * torch.eye(6, dtype=torch.float64)
    found = multivariate_normal(b.numpy(), covariance.numpy()).logpdf(x.flatten(1).numpy())
    return torch.as_tensor(found).view(len(x))


def points(n=N, seed=0):
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Points:
    """What an objective sees of a batch, in float64."""

    step, global_size, y = 0, N, None

    def __init__(self, x, seed=1):
        self.x, self.seed = x, seed

    def randn(self, name, *shape):
        return noise(len(self.x), *shape, seed=self.seed)


def terms(objective, model, batch):
    (turn,) = objective.phases(model)
    return turn.step_losses(batch)


def normal(q):
    return Independent(Normal(q.mean, (q.log_variance / 2).exp()), 1)


KINDS = ["binarized", "gray_bce", "gaussian", "discretized_logistic"]


def made(pixel_likelihood="binarized", variance="pixel", shape=(1, 16, 16), output="tanh"):
    torch.manual_seed(0)
    options = {"pixel_likelihood": pixel_likelihood, "variance": variance, "output": output}
    return vae.Build(shape, 10, latent=3, width=4, **options)


def images(shape=(1, 16, 16), n=24):
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (n, *shape), dtype=torch.uint8, generator=generator)
    return Images(pixels, torch.randint(0, 10, (n,), generator=generator))


def batch_of(size=12, step=0, rank=0, world=1, shape=(1, 16, 16)):
    return next(batches(images(shape), size, seed=3, step=step, rank=rank, world=world))


FAMILY = {
    **{f"vae, {kind}": (lambda kind=kind: made(kind)) for kind in KINDS},
    "vae, shared variance": lambda: made("gaussian", "shared"),
    "cvae": lambda: cvae.Build((1, 16, 16), 10, latent=3, width=4, pixel_likelihood="binarized"),
    "vae, linear mean": lambda: made("gaussian", "shared", output="linear"),
    "vae, linear mean of logistics": lambda: made("discretized_logistic", output="linear"),
    "cvae of levels": lambda: cvae.Build((1, 16, 16), 10, latent=3, width=4),
    **{f"iwae, {kind}": (lambda kind=kind: iwae.Build((1, 16, 16), 10, pixel_likelihood=kind)) for kind in KINDS},
    "iwae, pixel variance": lambda: iwae.Build((1, 16, 16), 10, pixel_likelihood="gaussian", variance="pixel"),
    "iwae, two layers": lambda: iwae.Build((1, 16, 16), 10, layers=2, pixel_likelihood="binarized"),
}


OBJECTIVES = {
    "elbo": lambda: elbo.Build(),
    "iwae": lambda: iwae_bound.Build(k=3),
    "dreg": lambda: iwae_bound.Build(k=3, dreg=True),
}
