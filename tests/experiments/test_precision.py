"""The interval of a change against SciPy."""

import pytest
from scipy import stats

from experiments.precision import Row


@pytest.mark.parametrize("comparisons", [1, 6])
def test_the_interval_of_a_change_is_that_of_the_t_test(comparisons):
    row = Row("gan", "kid", [0.1, 0.3, 0.2], [0.4, 0.2, 0.1])
    ends = stats.ttest_ind(row.bfloat16, row.float32).confidence_interval(1 - 0.05 / comparisons)
    assert row.half_width(comparisons) == pytest.approx((ends.high - ends.low) / 2)
    assert row.change == pytest.approx((ends.high + ends.low) / 2)
