"""Nearest neighbours against scikit-learn, on ties, and where float32 is not enough."""

import numpy as np
import pytest
import torch
from synthetic_features import evidence, noisy

from genlib.metrics.authenticity import authenticity
from genlib.metrics.copying import copying
from genlib.metrics.fld import fld_gap
from genlib.metrics.stats import neighbours
from genlib.metrics.stats.neighbours import nearest


def normal(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def by_brute_force(x, among, k, skip=None):
    """All distances as differences in float64, sorted stably: of equal ones the lower row first."""
    distances = torch.stack([(row - among.double()).square().sum(1).sqrt() for row in x.double()])
    if skip is not None:
        distances[torch.arange(len(x)), skip] = torch.inf
    distances, rows = distances.sort(dim=1, stable=True)
    return distances[:, :k], rows[:, :k]


def agree(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=1e-12, atol=0)
    assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize("elements", [1 << 24, 5000, 1])
@pytest.mark.parametrize(("dtype", "shift"), [("float32", 0.0), ("float32", 1e4), ("float64", 1e4)])
def test_they_are_exactly_those_of_scikit_learn(dtype, shift, elements, monkeypatch):
    sklearn = pytest.importorskip("sklearn.neighbors")
    monkeypatch.setattr(neighbours, "CHUNK_ELEMENTS", elements)
    x, among = (normal(n, 12, n).to(getattr(torch, dtype)) + shift for n in (301, 977))
    distances, rows = nearest(x, among, 6)
    tree = sklearn.NearestNeighbors(n_neighbors=6, algorithm="kd_tree").fit(among.double().numpy())
    theirs, their_rows = tree.kneighbors(x.double().numpy())
    np.testing.assert_array_equal(rows.numpy(), their_rows)
    np.testing.assert_allclose(distances.numpy(), theirs, rtol=1e-8 if shift else 1e-12)


@pytest.mark.parametrize("k", [1, 2, 5, 40, 300])
@pytest.mark.parametrize("n", [1, 7, 300, 301, 1111])
def test_any_number_among_any_number(n, k):
    x, among = normal(50, 3, 0), normal(n, 3, 1)
    agree(nearest(x, among, k), by_brute_force(x, among, k))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("times", [1, 6])
def test_equal_distances_go_to_the_lower_row(times, dtype):
    grid = torch.cartesian_prod(*[torch.arange(3.0, dtype=dtype)] * 5).repeat(times, 1)
    agree(nearest(grid, grid, 11), by_brute_force(grid, grid, 11))
    itself = torch.arange(len(grid))
    agree(nearest(grid, grid, 11, skip=itself), by_brute_force(grid, grid, 11, itself))


def test_copies_are_found_at_distance_zero_and_what_is_skipped_is_not():
    among = normal(50, 12, 1).repeat(20, 1) + 1e3
    itself = torch.arange(len(among))
    distances, rows = nearest(among, among, 19, skip=itself)
    assert (distances == 0).all() and (rows != itself[:, None]).all()
    assert (rows % 50 == itself[:, None] % 50).all()


def test_where_too_few_are_left_the_distance_is_infinite():
    x, among = normal(5, 3, 0), normal(4, 3, 1)
    distances, rows = nearest(x, among, 4, skip=torch.tensor([0, 1, 2, 3, 0]))
    assert distances[:, :3].isfinite().all() and distances[:, 3].isinf().all()
    assert nearest(x, among[:1], skip=torch.zeros(5, dtype=torch.long))[0].isinf().all()
    assert rows.max() < 4


def test_nobody_has_no_neighbours():
    distances, rows = nearest(normal(0, 3, 0), normal(9, 3, 1), 2)
    assert distances.shape == rows.shape == (0, 2)


@pytest.mark.parametrize(("outlier", "far"), [("x", 1e3), ("x", 1e6), ("x", 1e30), ("among", 1e3), ("among", 1e6)])
def test_far_away_rows_do_not_blur_the_others(outlier, far):
    x, among = normal(40, 5, 0).double(), normal(2000, 5, 1).double()
    {"x": x, "among": among}[outlier][7] *= far
    found, expected = nearest(x, among, 3), by_brute_force(x, among, 3)
    kept = torch.arange(40) != (7 if outlier == "x" else -1)
    agree([part[kept] for part in found], [part[kept] for part in expected])
    torch.testing.assert_close(found[0], expected[0], rtol=1e-7, atol=0)


def test_crowds_that_float32_cannot_tell_apart_are_told_apart():
    centres = 100 * normal(4, 6, 0).double()
    among = centres.repeat(500, 1) + 1e-3 * normal(2000, 6, 1).double()
    x = centres.repeat(10, 1) + 1e-3 * normal(40, 6, 2).double()
    agree(nearest(x, among, 5), by_brute_force(x, among, 5))


def test_nothing_given_is_changed():
    x, among = normal(9, 3, 0), normal(20, 3, 1)
    before = x.clone(), among.clone()
    nearest(x, among, 2), nearest(x.double(), among, 2)
    assert torch.equal(x, before[0]) and torch.equal(among, before[1])


@pytest.mark.parametrize("metric", [authenticity, copying, fld_gap])
def test_the_chunk_of_neighbours_does_not_matter(metric, monkeypatch):
    e = evidence(noisy(0.5))
    whole = metric(e)
    monkeypatch.setattr(neighbours, "CHUNK_ELEMENTS", 5000)
    assert metric(e).value == pytest.approx(whole.value, rel=1e-9)
