"""Limits of a sweep: shares of what real images get, in the direction in which a metric is good."""

import math

import pytest

from genlib.errors import InputError
from genlib.metrics.constraints import build_constraints


def test_a_limit_is_a_share_where_more_is_better_and_an_excess_where_less_is():
    coverage, kid = build_constraints({"coverage": 0.5, "kid": 0.2}, {"coverage": 0.9, "kid": -0.1, "support": 10})
    assert (coverage.bound, coverage.at_least, str(coverage)) == (0.45, True, "coverage at least 0.45")
    assert (kid.bound, kid.at_least, str(kid)) == (pytest.approx(0.1), False, "kid at most 0.1")
    assert coverage.violation({"coverage": 0.45}) == 0 < coverage.violation({"coverage": 0.44})
    assert kid.violation({"kid": 0.05}) == 0 < kid.violation({"kid": 0.11})
    assert coverage.violation({"kid": 0.1}) == 1


def test_the_further_outside_the_more_is_missed_and_never_more_than_without_a_value():
    (coverage,) = build_constraints({"coverage": 0.5}, {"coverage": 0.9})
    missed = [coverage.violation({"coverage": value}) for value in (0.5, 0.45, 0.4, 0.2, 0.0, -1e6)]
    assert missed == sorted(missed) and missed[1] == 0 and missed[2] > 0 and missed[-1] < 1
    (at_zero,) = build_constraints({"copies": 0.0}, {"copies": 0.0})
    assert (at_zero.violation({"copies": 0.0}), at_zero.violation({"copies": 0.1})) == (0, 1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_within_no_bound(value):
    """Values that are no numbers: NaN is neither below nor above a bound, and so counted as within."""
    for constraint in build_constraints({"coverage": 0.5, "kid": 0.2}, {"coverage": 0.9, "kid": 0.1}):
        assert constraint.violation({constraint.metric: value}) == 1


def test_a_limit_on_what_real_images_have_no_value_of_is_refused():
    with pytest.raises(InputError, match=r"^tune.constraints.support: got no value for real images"):
        build_constraints({"support": 0.5}, {"coverage": 0.9})
