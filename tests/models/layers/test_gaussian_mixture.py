"""The Gaussian mixture against scikit-learn's, and its objective against its formula."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from genlib.models.layers import gaussian_mixture
from genlib.models.layers.gaussian_mixture import GaussianMixture


@pytest.fixture(autouse=True)
def one_seed():
    torch.manual_seed(0)


def blobs(n=600, d=3, seed=0):
    """Points of three well separated Gaussians, float64 [n, d]."""
    generator = torch.Generator().manual_seed(seed)
    centres = 6 * torch.randn(3, d, dtype=torch.float64, generator=generator)
    turns = torch.randn(3, d, d, dtype=torch.float64, generator=generator)
    kind = torch.randint(0, 3, (n,), generator=generator)
    noise = torch.randn(n, d, dtype=torch.float64, generator=generator)
    return centres[kind] + torch.einsum("nij,nj->ni", turns[kind], noise)


@pytest.mark.parametrize("ridge", [1e-9, 0.3])
def test_every_step_of_the_fit_raises_its_objective(ridge):
    z = torch.randn(300, 4, dtype=torch.float64) ** 3
    _, gained = gaussian_mixture.fit_em(z, 5, ridge)
    assert len(gained) > 5
    assert all(later >= earlier - 1e-9 for earlier, later in pairwise(gained))


def test_the_mixture_is_as_likely_as_that_of_scikit_learn():
    models = pytest.importorskip("sklearn.mixture")
    z = blobs()
    found, gained = gaussian_mixture.fit_em(z, 3, 1e-6)
    theirs = models.GaussianMixture(3, reg_covar=1e-6, tol=1e-6, max_iter=500, n_init=5, random_state=0).fit(z.numpy())
    mine = found.log_joint(z).logsumexp(1).mean().item()
    assert mine == pytest.approx(theirs.score(z.numpy()), abs=2e-3)
    assert mine == pytest.approx(gained[-1])
    order, other = found.weights.argsort(), theirs.weights_.argsort()
    np.testing.assert_allclose(found.means[order], theirs.means_[other], atol=0.02)
    np.testing.assert_allclose((found.roots @ found.roots.mT)[order], theirs.covariances_[other], rtol=0.05, atol=0.05)


def test_the_objective_is_the_mean_over_blurred_points():
    z = torch.randn(1, 2, dtype=torch.float64)
    spread = torch.tensor([[1.0, 0.0], [0.5, 0.8]], dtype=torch.float64)
    one = gaussian_mixture.MixtureParameters(
        torch.ones(1, dtype=torch.float64), torch.zeros(1, 2).double(), spread[None], ridge=0.25
    )
    blurred = z + 0.5 * torch.randn(200_000, 2, dtype=torch.float64)
    normal = torch.distributions.MultivariateNormal(torch.zeros(2).double(), scale_tril=spread)
    assert one.log_joint(z).item() == pytest.approx(normal.log_prob(blurred).mean().item(), abs=0.01)


def test_draws_of_the_mixture_have_the_moments_of_the_points():
    z = blobs(2000)
    law = GaussianMixture(3, 3)
    law.fit(z)
    drawn = law.sample_from_noise(torch.randn(200_000, 4)).double()
    torch.testing.assert_close(drawn.mean(0), z.mean(0), rtol=0, atol=0.05)
    torch.testing.assert_close(drawn.T.cov(), z.T.cov(), rtol=0.02, atol=0.2)


def test_a_mixture_that_was_not_fitted_is_the_standard_normal():
    noise = torch.randn(1000, 4)
    torch.testing.assert_close(GaussianMixture(3, 3).sample_from_noise(noise), noise[:, :3])


@pytest.mark.parametrize("z", [torch.zeros(20, 3), torch.eye(3), torch.randn(5, 40)], ids=["one point", "few", "flat"])
def test_degenerate_points_still_give_a_mixture(z):
    law = GaussianMixture(10, z.shape[1])
    law.fit(z)
    assert law.sample_from_noise(torch.randn(50, z.shape[1] + 1)).isfinite().all()


def test_the_fit_is_a_function_of_the_points():
    laws = [GaussianMixture(4, 3), GaussianMixture(4, 3)]
    for law in laws:
        law.fit(blobs())
    assert all(torch.equal(a, b) for a, b in zip(laws[0].buffers(), laws[1].buffers(), strict=True))
