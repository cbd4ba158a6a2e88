"""Which model may become the champion."""

import pytest
from evaluated_models import GOOD

from genlib.metrics.result import MetricResult
from genlib.tracking.promotion_checks import failed_checks


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"kid": MetricResult(0.12, 0.11, 0.13, 0.0, 300)}, None),
        (
            {"kid": MetricResult(0.13, 0.12, 0.14, 0.0, 300)},
            "kid 0.13: worse than the champion's 0.1, difference",
        ),
        ({"coverage": MetricResult(0.2, 0.1, 0.3, 0.95, 300)}, "coverage 0.2: outside its limit"),
        ({"copies": MetricResult(0.2, 0.1, 0.3, 0.0, 300)}, "copies 0.2: outside its limit"),
        ({"copies": MetricResult(detail={"reason": "too few"})}, "copies: not to be known (too few)"),
    ],
)
def test_a_model_that_is_no_worse_and_within_the_limits_may_become_champion(changes, reason):
    found = failed_checks(GOOD | changes, GOOD, {})
    assert (found == []) if reason is None else (len(found) == 1 and found[0].startswith(reason))
