"""Intervals: against independent code, closed forms and planted faults."""

import numpy as np
import pytest

from genlib.metrics.stats.intervals import mean_interval, score_interval, t_quantile, wilson


def test_the_t_quantile_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    for freedom in (*range(1, 31), 49, 358, 1000, 59_999):
        assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)


def test_the_t_interval_of_two_and_of_three_values_holds_the_mean_as_often_as_it_says():
    """20,000 samples of each size: standard error 0.15 points."""
    draws = np.random.default_rng(3).normal(size=(20_000, 3))
    for size in (2, 3):
        ends = np.array([mean_interval(row[:size].tolist()) for row in draws])
        assert 0.945 < np.mean((ends[:, 0] < 0) & (ends[:, 1] > 0)) < 0.955


def test_wilson_stays_inside_and_is_the_textbook_value():
    assert wilson(0, 20)[0] == 0 and wilson(20, 20)[1] == 1
    assert wilson(15, 20) == pytest.approx((0.531299, 0.888138), abs=1e-5)


def quadratic_draws(k, shift, n=100, times=4000):
    """|mean of n standard normal rows of k numbers, moved by `shift` along one|^2 with what the sample says of it: its
    least mean, its variance there, and the plug-in variance 4 |mean|^2 / n of its influence functions."""
    centres = np.random.default_rng(k).normal(size=(times, k)) / np.sqrt(n)
    centres[:, 0] += shift
    values = (centres**2).sum(1)
    return [(value, k / n, 2 * k / n**2, 4 * value / n) for value in values.tolist()]


NEAR = "a distance of about two deviations of the null: its slope is not to be had from the sample, and is taken as 0"
TOO_OFTEN_MISSED = pytest.mark.xfail(reason=NEAR, strict=True)  # held 85 and 91 % of the times


@pytest.mark.parametrize(
    ("k", "shift"),
    [
        *((k, shift) for k in (9, 30, 200) for shift in (0.0, 1.0, 3.0)),
        (200, 0.3),
        *(pytest.param(k, 0.3, marks=TOO_OFTEN_MISSED) for k in (9, 30)),
    ],
)
def test_the_interval_of_a_squared_distance_holds_its_mean(k, shift):
    """4,000 draws: standard error 0.35 points. At the null it is no wider than it need be."""
    draws = quadratic_draws(k, shift)
    mean, sd = k / 100 + shift**2, (2 * k / 100**2 + 4 * shift**2 / 100) ** 0.5
    ends = np.array([score_interval(*draw) for draw in draws])
    assert 0.93 < np.mean((ends[:, 0] <= mean) & (mean <= ends[:, 1])) < 0.97
    assert shift or 1.9 < np.mean(ends[:, 1] - ends[:, 0]) / 2 / sd < 2.3


def test_the_interval_of_a_squared_distance_without_chance_is_a_point():
    assert score_interval(2.0, 2.0, 0.0, 0.0) == (2.0, 2.0)
