"""Mean and covariance in pieces, and the distance with one side known."""

import numpy as np
import pytest
import torch

from genlib.data import pixels
from genlib.data.pixels import StoredPixels, store_pixels
from genlib.metrics.frechet import compare_gaussians, frechet_distance
from genlib.metrics.stats.gaussian import Gaussian


def draw(n, d, seed, offset=0.0, scale=1.0):
    return scale * torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) + offset


@pytest.mark.parametrize("offset", [0.0, 1e4])
@pytest.mark.parametrize("piece", [8, 60, 10**9])
def test_pieces_in_a_file_have_the_moments_of_the_whole(piece, offset, monkeypatch):
    x = draw(101, 5, 0, offset)
    monkeypatch.setattr(pixels, "PIECE_BYTES", piece)
    monkeypatch.setattr(pixels, "MAX_HELD_BYTES", 0)
    stored = store_pixels(torch.split(x, 30), x.shape, torch.float32)
    assert isinstance(stored, StoredPixels) and torch.equal(stored[:], x)
    found = Gaussian.of_rows(stored)
    np.testing.assert_allclose(found.mean, x.double().numpy().mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(x.double().numpy(), rowvar=False), rtol=1e-9, atol=1e-9)
    y = draw(80, 5, 1, offset)
    assert compare_gaussians(found, Gaussian.of_rows(y)) == compare_gaussians(Gaussian.of_rows(x), Gaussian.of_rows(y))


def test_a_side_of_which_the_statistics_are_known_has_no_spread():
    x, y = draw(300, 6, 0), draw(300, 6, 1, offset=0.3)
    of_x, of_y = Gaussian.of_rows(x), Gaussian.of_rows(y)
    known = Gaussian(of_y.mean, of_y.covariance)
    both, one, none = (compare_gaussians(of_x, each) for each in (of_y, known, known))
    assert both.value == one.value == pytest.approx(frechet_distance(x, y))
    assert 0 < one.high - one.low < both.high - both.low
    assert compare_gaussians(known, known).low is None and none.n == 300


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_the_interval_against_a_known_distribution_covers_the_mean_distance(offset):
    d, n = 6, 150
    known = Gaussian(torch.zeros(d, dtype=torch.float64), torch.eye(d, dtype=torch.float64))
    found = [compare_gaussians(Gaussian.of_rows(draw(n, d, seed, offset)), known) for seed in range(100)]
    mean = np.mean([each.value for each in found])
    assert np.mean([each.low <= mean <= each.high for each in found]) >= 0.88  # 95 %, less 3 deviations


def test_sides_of_unequal_sizes_have_an_interval_that_covers():
    d = 6
    found = [
        compare_gaussians(Gaussian.of_rows(draw(40, d, seed)), Gaussian.of_rows(draw(120, d, 1000 + seed)))
        for seed in range(100)
    ]
    mean = np.mean([each.value for each in found])
    assert np.mean([each.low <= mean <= each.high for each in found]) >= 0.88


@pytest.mark.parametrize("n", [5, 20])
def test_no_more_images_than_features_have_a_value_and_a_note(n):
    metric_fid = pytest.importorskip("torch_fidelity.metric_fid")
    x, y = draw(n, 20, 0).double(), draw(n, 20, 1, 0.5).double()
    found = compare_gaussians(Gaussian.of_rows(x), Gaussian.of_rows(y))
    one, two = metric_fid.fid_features_to_statistics(x), metric_fid.fid_features_to_statistics(y)
    theirs = metric_fid.fid_statistics_to_metric(one, two, verbose=False)["frechet_inception_distance"]
    assert found.value == pytest.approx(theirs, rel=1e-4) and found.low is None
    assert "too few for 20 features" in found.detail["note"]
