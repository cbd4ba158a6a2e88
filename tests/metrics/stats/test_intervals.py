"""Intervals: against independent code, closed forms and planted faults."""

import numpy as np
import pytest

from genlib.metrics.stats.intervals import group_slices, jackknife, mean_interval, t_quantile, wilson


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


def test_the_jackknife_of_a_mean_is_its_t_interval():
    x = np.random.default_rng(0).normal(size=200)
    groups = group_slices(len(x))
    without = [float(np.delete(x, np.r_[g]).mean()) for g in groups]
    assert jackknife(float(x.mean()), without) == pytest.approx(mean_interval([float(x[g].mean()) for g in groups]))
