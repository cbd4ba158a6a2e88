"""Clipped density and coverage: against the authors' program, closed forms and planted faults."""

import numpy as np
import pytest
import torch
from synthetic_features import between, rows

from genlib.metrics.clipped import clip_squares, clipped_coverage, clipped_density, count_balls, expected_coverage
from genlib.metrics.precision_recall import precision

CLIPPED = {"clipped_density": clipped_density, "clipped_coverage": clipped_coverage}
RECORDED = [  # n, d, scale, shift of the generated rows; then what the authors' program gave: the density's ratio, and
    (60, 2, 1.0, 0.1, 0.9179487179487181, 0.8360655737704918),  # the coverage, a whole number over n + 1
    (301, 3, 0.5, 0.1, 1.4313304721030047, 0.5),
    (400, 32, 1.1, 0.1, 0.5155502392344498, 0.4114713216957606),
    (400, 8, 0.7, 0.3, 1.6682832201745879, 0.9027431421446384),
]


def contaminated(n, share, seed, d=8):
    """Generated rows of which a share is like real ones and the others are far away."""
    x = rows(n, d, seed)
    x[round(share * n) :] += 1000
    return between(x, rows(n, d, 500 + seed))


@pytest.mark.parametrize(("n", "d", "scale", "shift", "ratio", "coverage"), RECORDED)
def test_both_are_those_of_the_authors(n, d, scale, shift, ratio, coverage):
    e = between(rows(n, d, 0, scale, shift), rows(n, d, 1))
    density = clipped_density(e)
    assert density.detail["ratio"] == pytest.approx(ratio, rel=1e-12) and density.value == min(
        1, density.detail["ratio"]
    )
    assert clipped_coverage(e).value == pytest.approx(coverage, abs=1.5 / n)


@pytest.mark.parametrize("name", CLIPPED)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_the_value_is_the_share_of_good_images(name, share):
    values = [CLIPPED[name].value(contaminated(500, share, seed)) for seed in range(8)]
    assert np.mean(values) == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("name", CLIPPED)
def test_real_images_get_about_one_and_foreign_ones_zero(name):
    assert CLIPPED[name].value(contaminated(1000, 1.0, 0)) > 0.93
    assert CLIPPED[name].value(contaminated(1000, 0.0, 0)) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("n", [20, 200])
def test_the_expected_coverage_is_that_of_the_beta_binomial_distribution(n):
    stats = pytest.importorskip("scipy.stats")
    for m in range(0, n + 1, 7):
        j = np.arange(m + 1)
        expected = (np.minimum(1, j / 5) * stats.betabinom(m, 5, n - 5).pmf(j)).sum()
        assert float(expected_coverage(n)[m]) == pytest.approx(expected, abs=1e-12)


def test_the_expected_coverage_grows_from_zero_and_is_small_where_few_fall_into_a_ball():
    curve = expected_coverage(5000)
    assert curve[0] == 0 and (curve.diff() > 0).all() and float(curve[1]) == pytest.approx(1 / 5000)


@pytest.mark.parametrize("name", CLIPPED)
def test_no_real_outlier_matters_much(name):
    """One test image at 8 deviations of the generated images, all of which are foreign."""
    y = rows(500, 4, 1)
    y[0] = 8
    e = between(rows(500, 4, 0, shift=8.0), y)
    assert CLIPPED[name].value(e) < 0.05 and precision.value(e) > 0.9


def test_balls_are_closed():
    lattice = torch.cartesian_prod(torch.arange(7.0), torch.arange(7.0)) * 0.1 + 1000
    squares = (lattice.double()[:, None] - lattice.double()).square().sum(2)
    radii = squares.sort(1).values[:, 5]
    assert torch.equal(count_balls(lattice, lattice, radii), (squares <= radii).sum(1))
    assert (squares == radii).any()


@pytest.mark.parametrize("n", [20, 21])
def test_half_of_the_radii_are_clipped_to_the_median(n):
    squares = rows(n, 1, 0).double().square().flatten()
    clipped = clip_squares(squares)
    median = np.median(squares.sqrt().numpy())
    assert torch.equal(clipped[squares.sqrt() <= median], squares[squares.sqrt() <= median])
    assert float(clipped.max()) == pytest.approx(median**2)


def test_intervals_hold_that_both_sets_might_have_been_others():
    pairs = [contaminated(120, 0.6, seed) for seed in range(40)]
    for name, metric in CLIPPED.items():
        found = [metric(pair) for pair in pairs]
        mean = np.mean([each.value for each in found])
        assert sum(each.low <= mean <= each.high for each in found) >= 34, name
        assert all(0 <= each.low <= each.value <= each.high <= 1 for each in found), name


@pytest.mark.parametrize("name", CLIPPED)
def test_the_statistic_is_the_value_and_the_order_of_images_does_not_matter(name):
    x, y = rows(300, 4, 0, 1, 0.3), rows(300, 4, 1)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(2))
    found, turned = (CLIPPED[name](between(part, y)) for part in (x, x[order]))
    assert CLIPPED[name].value(between(x, y)) == found.value
    assert (turned.value, turned.low, turned.high) == pytest.approx((found.value, found.low, found.high), rel=1e-9)


@pytest.mark.parametrize("name", CLIPPED)
def test_images_that_are_all_one_give_numbers(name):
    one = torch.ones(100, 3)
    assert CLIPPED[name](between(one, one)).value is not None
    assert CLIPPED[name](between(one, rows(100, 3, 0))).value < 0.5
