"""The two sides of a comparison: a mean and its interval over seeds."""

import numpy as np
import pytest

from pipelines.compare import summarize_seeds


def result(value, low=0.0, high=1.0):
    return {"value": value, "low": low, "high": high, "null": 0.5, "n": 100, "detail": {"layer": 1}}


def test_one_seed_keeps_its_own_interval():
    assert summarize_seeds([{"kid": result(0.3)}]) == {"kid": result(0.3)}


def test_several_seeds_give_their_mean_with_the_interval_of_students_t():
    [found] = summarize_seeds([{"kid": result(0.2)}, {"kid": result(0.4)}, {"kid": result(None)}]).values()
    assert found["value"] == pytest.approx(0.3)
    assert (found["low"], found["high"]) == pytest.approx((0.3 - 12.7062 * 0.1, 0.3 + 12.7062 * 0.1), rel=1e-4)
    assert (found["null"], found["n"], found["detail"]) == (0.5, 100, {"seeds": 2, "range": [0.2, 0.4]})


def test_the_interval_over_three_seeds_holds_the_mean_in_95_of_100():
    """4,000 times three seeds: standard error 0.35 points. The range holds the mean in 75 of 100."""
    held = in_range = 0
    for seeds in np.random.default_rng(0).normal(size=(4000, 3)).tolist():
        [found] = summarize_seeds([{"kid": result(value)} for value in seeds]).values()
        low, high = found["detail"]["range"]
        held, in_range = held + (found["low"] <= 0 <= found["high"]), in_range + (low <= 0 <= high)
    assert 0.94 < held / 4000 < 0.96 and 0.73 < in_range / 4000 < 0.77


def test_seeds_without_a_value_give_none():
    [found] = summarize_seeds([{"kid": result(None)}, {"kid": result(None)}]).values()
    assert [found[part] for part in ("value", "low", "high")] == [None] * 3 and found["detail"]["seeds"] == 0
