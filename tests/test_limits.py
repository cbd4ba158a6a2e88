"""Limits of a sweep: shares of what real images get, in the direction in which a metric is good."""

import pytest

from genlib.errors import InputError
from genlib.evaluation.limits import limits


def test_a_limit_is_a_share_where_more_is_better_and_an_excess_where_less_is():
    coverage, kid = limits({"coverage": 0.5, "kid": 0.2}, {"coverage": 0.9, "kid": -0.1, "support": 10})
    assert (coverage.bound, coverage.at_least, str(coverage)) == (0.45, True, "coverage at least 0.45")
    assert (kid.bound, kid.at_least, str(kid)) == (pytest.approx(0.1), False, "kid at most 0.1")
    assert coverage.kept({"coverage": 0.45}) and not coverage.kept({"coverage": 0.44})
    assert kid.kept({"kid": 0.05}) and not kid.kept({"kid": 0.11})
    assert not coverage.kept({"kid": 0.1})


def test_a_limit_on_what_real_images_have_no_value_of_is_refused():
    with pytest.raises(InputError, match=r"^tune.limits.support: found no value for real images"):
        limits({"support": 0.5}, {"coverage": 0.9})
