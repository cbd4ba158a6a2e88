"""The variance of a median over seeds that share their test images."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from genlib.metrics.stats.two_level import Part, add_parts, between_seeds, image_parts, price_of_median


@pytest.mark.parametrize("freedom", [1, 2, 7, 24])
def test_intervals_and_p_values_are_students(freedom):
    part = Part(4.0, freedom)
    assert part.interval(3.0) == pytest.approx([3 - 2 * (t := stats.t.ppf(0.975, freedom)), 3 + 2 * t])
    for value in (0.1, 3.0, 20.0):
        assert part.p_value(value) == pytest.approx(2 * stats.t.sf(value / 2, freedom), abs=1e-12)


def test_nothing_varies_where_the_variance_is_zero():
    assert Part(0.0, 3).p_value(0.0) == 1 and Part(0.0, 3).p_value(0.1) == 0


@pytest.mark.parametrize(("a", "b"), [((2.0, 5), (1.0, 9)), ((0.3, 2), (0.0, 1)), ((1.0, math.inf), (1.0, 4))])
def test_degrees_of_freedom_are_those_of_satterthwaite(a, b):
    found = add_parts([Part(*a), Part(*b)])
    doubt = a[0] ** 2 / a[1] + b[0] ** 2 / b[1]
    assert found == pytest.approx((a[0] + b[0], (a[0] + b[0]) ** 2 / doubt))


@pytest.mark.parametrize("k", [1, 3, 5, 7, 11])
def test_a_median_of_normal_values_costs_what_it_is_said_to(k):
    medians = np.median(np.random.default_rng(k).normal(size=(200_000, k)), axis=1)
    assert price_of_median(k) == pytest.approx(medians.var() * k, rel=0.03)


def test_the_seeds_part_holds_the_price_of_the_median():
    assert between_seeds([1.0, 2.0, 6.0]) == pytest.approx((price_of_median(3) * 7 / 3, 2))


@pytest.mark.parametrize("k", [2, 5])
def test_what_seeds_share_is_told_from_what_is_their_own(k):
    """Halves that move by 2 together and by 3 each on its own: 4,000 halvings know both variances to 3 %."""
    g = torch.Generator().manual_seed(k)
    shared, own = (torch.randn(size, 4000, 2, generator=g, dtype=torch.float64) for size in (1, k))
    generated, images = image_parts(2 * shared + 3 * own)
    assert generated == pytest.approx(9 / k, rel=0.1) and images == pytest.approx(4, rel=0.2)
