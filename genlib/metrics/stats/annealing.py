"""Lower and upper bounds of log p(x) of any decoder by annealed importance sampling.

Chains of codes go from the prior p(z) = N(0, 1) to p(z|x) by p_t(z), proportional to p(z) p(x|z)^beta_t, with a move of
Hamiltonian Monte Carlo at each. w = prod_t p(x|z_t)^(beta_t+1 - beta_t) has the mean p(x), so log mean w is in
expectation a lower bound (Neal 2001; Wu et al. 2017). The chain back from one exact draw of p(z|x) has the mean 1 /
p(x): an upper bound (Grosse et al. 2015, "Sandwiching the marginal likelihood using bidirectional Monte Carlo").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from genlib.data.images import chunk_length
from genlib.data.random import seeded_generator

LEAPFROG_STEPS = 10  # steps of a move
TARGET_ACCEPTANCE = 0.65  # of moves, which the step size is adapted to
INITIAL_STEP_SIZE, ADAPTATION_RATE = 0.3, 0.3  # how fast the logarithm of the step size follows

LogLikelihood = Callable[[Tensor], Tensor]  # codes [k, n, d] -> log p(x|z) [k, n]


class Decoder(Protocol):
    """p(x|z), z ~ N(0, 1): log p(x|z) [k, n] in nats of images [n, ...] at codes [k, n, noise], labels y [n]."""

    @property
    def noise_dim(self) -> int: ...
    def log_likelihood(self, x: Tensor, noise: Tensor, y: Tensor | None = None) -> Tensor: ...


def annealed_log_likelihood(
    decoder: Decoder,
    x: Tensor,
    *,
    num_distributions: int,
    num_chains: int,
    seed: int,
    y: Tensor | None = None,
    posterior_draws: Tensor | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    """log p(x), or log p(x|y), by the mean of w over chains of `num_distributions` moves: a lower bound in expectation,
    or with `posterior_draws` z [n, noise], exact draws of p(z|x), an upper one; float64 [n]. Ten gradients of the
    decoder a move; an image's random numbers depend on its row alone."""
    schedule = sigmoid_schedule(num_distributions)
    schedule = schedule if posterior_draws is None else schedule.flip(0)
    found, at_once = [], max(1, (chunk_size or chunk_length(x.shape[1:])) // num_chains)
    for first in range(0, len(x), at_once):
        rows = slice(first, first + at_once)
        normal = normal_per_image(x[rows], num_chains, seed, first)
        if posterior_draws is None:
            start = normal(decoder.noise_dim)
        else:
            start = posterior_draws[rows].to(x).expand(num_chains, -1, -1)
        likelihood = partial(decoder.log_likelihood, x[rows], y=None if y is None else y[rows])
        found.append(anneal_chains(likelihood, start, schedule.tolist(), normal).logsumexp(0).cpu())
    log_mean_w = torch.cat(found) - math.log(num_chains)
    return log_mean_w if posterior_draws is None else -log_mean_w


def sigmoid_schedule(num_distributions: int) -> Tensor:
    """beta_0 = 0, ..., beta_T = 1, float64 [T + 1]: sigmoid(4 (2 t / T - 1)), rescaled (Grosse et al. 2015)."""
    curve = torch.sigmoid(torch.linspace(-4, 4, num_distributions + 1, dtype=torch.float64))
    return (curve - curve[0]) / (curve[-1] - curve[0])


def normal_per_image(x: Tensor, num_chains: int, seed: int, first: int = 0) -> Callable[[int], Tensor]:
    """d -> standard normal numbers [k, n, d] for images x [n, ...], each from a generator of its own by its row."""
    generators = [seeded_generator(seed, "annealing", first + row) for row in range(len(x))]
    return lambda d: torch.stack([torch.randn(num_chains, d, generator=g) for g in generators], 1).to(x)


@dataclass(frozen=True)
class ChainState:
    """Codes z [k, n, d], log p(x|z) [k, n] there, and its gradient [k, n, d]."""

    z: Tensor
    log_likelihood: Tensor
    gradient: Tensor

    @classmethod
    def evaluate_at(cls, z: Tensor, log_likelihood_fn: LogLikelihood) -> ChainState:
        z = z.detach().requires_grad_()
        with torch.enable_grad():
            value = log_likelihood_fn(z)
            (gradient,) = torch.autograd.grad(value.sum(), z)
        return cls(z.detach(), value.detach(), gradient)

    def log_density(self, beta: float) -> Tensor:
        """log p(z) p(x|z)^beta but for a constant, [k, n]."""
        return beta * self.log_likelihood - 0.5 * self.z.square().sum(-1)

    def force(self, beta: float) -> Tensor:
        return beta * self.gradient - self.z

    def select(self, mask: Tensor, other: ChainState) -> ChainState:
        z = torch.where(mask[..., None], self.z, other.z)
        gradient = torch.where(mask[..., None], self.gradient, other.gradient)
        return ChainState(z, torch.where(mask, self.log_likelihood, other.log_likelihood), gradient)


def anneal_chains(
    log_likelihood_fn: LogLikelihood, z: Tensor, schedule: list[float], normal: Callable[[int], Tensor]
) -> Tensor:
    """log w of chains that start at z, float64 [k, n]. At each beta but the last a move, then w is multiplied by
    p(x|z)^(next beta - beta). The chains of one image share a step size, which follows the acceptance of moves."""
    state, step_size = ChainState.evaluate_at(z, log_likelihood_fn), z.new_full((z.shape[1],), INITIAL_STEP_SIZE)
    log_w = torch.zeros_like(state.log_likelihood, dtype=torch.float64)
    for beta, following in pairwise(schedule):
        state, acceptance = hmc_step(log_likelihood_fn, state, beta, step_size, normal(z.shape[-1] + 1))
        step_size = step_size * (ADAPTATION_RATE * (acceptance.mean(0) - TARGET_ACCEPTANCE)).exp()
        log_w += (following - beta) * state.log_likelihood.double()
    return log_w


def hmc_step(
    log_likelihood_fn: LogLikelihood, start: ChainState, beta: float, step_size: Tensor, noise: Tensor
) -> tuple[ChainState, Tensor]:
    """The state after one move (Neal 2011) by leapfrog steps of `step_size` [n] and standard normal noise [k, n, d +
    1], and its probability of acceptance; leaves p(z) p(x|z)^beta invariant."""
    step, before = step_size[:, None], noise[..., :-1]
    end, momentum = start, before + step / 2 * start.force(beta)
    for _ in range(LEAPFROG_STEPS):
        end = ChainState.evaluate_at(end.z + step * momentum, log_likelihood_fn)
        momentum = momentum + step * end.force(beta)
    momentum = momentum - step / 2 * end.force(beta)
    kinetic = 0.5 * (momentum.square() - before.square()).sum(-1)
    gain = end.log_density(beta) - start.log_density(beta) - kinetic
    acceptance = gain.clamp(max=0).exp().nan_to_num(0)
    return end.select(torch.special.ndtr(noise[..., -1]) < acceptance, start), acceptance
