"""p-values are uniform under the null, Holm keeps its level, and shares are read off a power curve."""

import math

import pytest
import torch
from scipy import stats

from genlib.metrics.stats.significance import MIN_EXCEEDING, holm, p_value, share_found

LAWS = {
    "normal": stats.norm(),
    "gamma": stats.gamma(3),
    "chi-square, few degrees of freedom": stats.chi2(2),
    "mirrored gamma": stats.gamma(3),
    "beta": stats.beta(5, 2),
    "counts": stats.poisson(6),
}


def draw(name, size, seed):
    drawn = torch.as_tensor(LAWS[name].rvs(size, random_state=seed)).double()
    return -drawn if name.startswith("mirrored") else drawn


@pytest.mark.parametrize("tail", ["higher", "lower", "both"])
@pytest.mark.parametrize("name", sorted(LAWS))
def test_no_more_p_values_lie_below_a_level_than_the_level(name, tail):
    """1,000 nulls of 199 draws, a new draw against each: rejections at 5 and 1 % within three standard errors, where
    the law is continuous, and not above them for counts."""
    nulls, new = draw(name, (1000, 199), 0), draw(name, 1000, 1)
    p = torch.tensor([p_value(float(x), null, tail) for x, null in zip(new, nulls, strict=True)])
    assert ((p > 0) & (p <= 1)).all()
    for level in (0.05, 0.01):
        margin = 3 * math.sqrt(level * (1 - level) / 1000)
        share = float((p <= level).double().mean())
        assert share <= level + margin
        assert share >= level - margin or name == "counts" or tail != "higher"


@pytest.mark.parametrize("name", ["normal", "gamma", "mirrored gamma"])
def test_the_fitted_tail_is_that_of_the_law(name):
    """Where p is 1e-4, of nulls of 400 draws: the median of 50 is within a factor of three, and on the short side of a
    skew law not below it."""
    law, nulls = LAWS[name], draw(name, (50, 400), 0)
    sign = -1 if name.startswith("mirrored") else 1
    for upper in (True, False):
        place = float(law.isf(1e-4) if upper else law.ppf(1e-4)) * sign
        tail = "higher" if upper == (sign > 0) else "lower"
        p = torch.tensor([p_value(place, null, tail) for null in nulls]).median()
        assert p > 1e-4 / 3
        assert p < 3e-4 or (not upper and name != "normal")


def test_many_exceeding_draws_are_counted():
    null = torch.arange(100, dtype=torch.float64)
    assert p_value(100 - MIN_EXCEEDING, null, "higher") == pytest.approx((1 + MIN_EXCEEDING) / 101)
    assert p_value(0, null, "higher") == 1.0
    assert p_value(MIN_EXCEEDING - 1, null, "lower") == pytest.approx((1 + MIN_EXCEEDING) / 101)


def test_a_null_without_spread_says_only_whether_the_value_is_beyond_it():
    null = torch.full((199,), 10.0, dtype=torch.float64)
    assert p_value(10, null, "lower") == 1.0
    assert p_value(11, null, "lower") == 1.0
    assert p_value(9, null, "lower") == pytest.approx(1 / 200)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_holm_keeps_the_level_over_all_true_nulls(correlation):
    """2,000 families of eight tests, independent or not: at most 5 % reject any, within three standard errors."""
    g = torch.Generator().manual_seed(0)
    shared, own = torch.randn(2000, 1, generator=g), torch.randn(2000, 8, generator=g)
    z = math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own
    p = 1 - torch.special.ndtr(z)
    rejected = sum(min(holm(dict(enumerate(row))).values()) <= 0.05 for row in p.tolist())
    assert rejected <= 100 + 3 * math.sqrt(95)


def test_holm_as_in_its_paper():
    """m p_(1), (m - 1) p_(2), ..., made ascending, at most 1; by hand."""
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})
    assert holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}
    assert holm({}) == {}


@pytest.mark.parametrize(("a", "b"), [(-3.0, 1.0), (-5.0, 2.0), (0.0, 0.7)])
def test_the_share_that_is_found_lies_on_the_power_curve(a, b):
    """Of a probit curve of the logarithm of the share: the true one within the step of the grid."""
    shares = [0.01 * 1.3**i for i in range(20)]
    power = [float(stats.norm.cdf(a + b * math.log(100 * share))) for share in shares]
    found, true = share_found(shares, power, 0.9), math.exp((stats.norm.ppf(0.9) - a) / b) / 100
    if true > shares[-1]:
        assert found is None
    elif true < shares[0]:
        assert found == shares[0]
    else:
        assert abs(math.log(found / true)) < math.log(1.3)


def test_power_that_falls_by_chance_counts_as_reached():
    assert share_found([0.1, 0.2, 0.4], [0.95, 0.85, 1.0], 0.9) == 0.1
    assert share_found([], [], 0.9) is None
