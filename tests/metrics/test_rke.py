"""RKE: against independent code, closed forms and planted faults."""

import sys

import numpy as np
import pytest
import torch
from synthetic_features import between, evidence, real, rows

from genlib.metrics.rke import kernel_moments, rke


@pytest.mark.parametrize("k", [1, 4, 10])
def test_equal_clusters_far_apart_are_counted(k):
    x = (100 * torch.eye(16))[torch.arange(400) % k] + 1e-3 * rows(400, 16, 0)
    assert float(1 / kernel_moments(x, 25.0).mean) == pytest.approx(k, rel=1e-3)


def test_clusters_of_unequal_size_give_the_inverse_of_the_sum_of_squared_shares():
    x = (100 * torch.eye(3))[torch.tensor([0] * 50 + [1] * 30 + [2] * 20)]
    assert float(1 / kernel_moments(x, 25.0).mean) == pytest.approx(1 / (0.5**2 + 0.3**2 + 0.2**2))


@pytest.mark.parametrize("d", [3, 64])
def test_the_value_is_that_of_numpys_eigenvalues(d):
    x, y = rows(150, d, 0), rows(150, d, 1)
    found = rke(between(x, y))
    squares = ((x.double()[:, None] - x.double()) ** 2).sum(2).numpy()
    values = np.linalg.eigvalsh(np.exp(-squares / (2 * found.detail["bandwidth"] ** 2)) / 150)
    assert found.value == pytest.approx(np.exp(-np.log((values**2).sum())), rel=1e-9)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_mean_of_gaussians_is_the_closed_form(scale):
    """E exp(-||x - y||^2 / w^2) = (1 + 4 s^2 / w^2)^(-d/2) of two rows of deviation s."""
    x, w, n = rows(2000, 3, 0, scale), 1.5, 2000
    expected = (1 + 4 * scale**2 / w**2) ** -1.5
    found = kernel_moments(x, w)
    assert float(found.mean) == pytest.approx((1 + (n - 1) * expected) / n, abs=4 * float(found.variance) ** 0.5)


def test_the_unit_of_features_does_not_matter_and_the_chunk_neither(monkeypatch):
    x, y = rows(200, 5, 0, 0.7), rows(200, 5, 1)
    found, scaled = rke(between(x, y)), rke(between(8 * x, 8 * y))
    monkeypatch.setattr(sys.modules["genlib.metrics.rke"], "CHUNK_ELEMENTS", 1000)
    parts = rke(between(x, y))
    for other in (scaled, parts):
        assert (other.value, other.low, other.high) == pytest.approx((found.value, found.low, found.high), rel=1e-6)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.7, 0.2, 0.1)])
def test_the_interval_holds_that_the_images_might_have_been_others(shares):
    """Of equal clusters the first-order variance is 0."""
    centres = 5 * torch.eye(4)
    found = []
    for seed in range(100):
        g = torch.Generator().manual_seed(seed)
        x = centres[torch.multinomial(torch.tensor(shares), 200, replacement=True, generator=g)]
        mean, variance = (float(each) for each in kernel_moments(x + 0.5 * rows(200, 4, seed), 2.0))
        found.append((mean, variance))
    means, variances = np.array(found).T
    assert np.mean(np.abs(means - means.mean()) <= 1.96 * np.sqrt(variances)) >= 0.88
    assert np.mean(variances) == pytest.approx(means.var(ddof=1), rel=0.5)


def test_one_image_repeated_is_one_and_test_images_all_alike_give_the_reason():
    e = evidence(real(200, 4))
    one = between(e.generated.features[:1].repeat(200, 1), e.test.features[:200])
    assert rke(one).value == pytest.approx(1)
    blind = between(e.generated.features, torch.ones(200, e.generated.features.shape[1]))
    assert rke(blind).detail["reason"] == "most test images have the same features"
