"""Intervals: against independent code, closed forms and planted faults."""

import numpy as np
import pytest

from genlib.metrics.stats.intervals import group_slices, jackknife, mean_interval, t_quantile, wilson


def test_the_t_quantile_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    for freedom in (5, 9, 19, 49, 1000):
        assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-3)


def test_wilson_stays_inside_and_is_the_textbook_value():
    assert wilson(0, 20)[0] == 0 and wilson(20, 20)[1] == 1
    assert wilson(15, 20) == pytest.approx((0.531299, 0.888138), abs=1e-5)


def test_the_jackknife_of_a_mean_is_its_t_interval():
    x = np.random.default_rng(0).normal(size=200)
    groups = group_slices(len(x))
    without = [float(np.delete(x, np.r_[g]).mean()) for g in groups]
    assert jackknife(float(x.mean()), without) == pytest.approx(mean_interval([float(x[g].mean()) for g in groups]))
