"""The staircase of exposures: where it goes and where it settles."""

from statistics import fmean

import pytest
from surveys import observer

from genlib.human.staircase import FIRST_MS, MAX_MS, MIN_MS, staircase, threshold_ms


def test_looks_grow_longer_by_three_steps_and_shorter_by_one_within_bounds():
    assert staircase([]) == [FIRST_MS]
    assert staircase([True, False, False, False]) == [500, 530, 520, 510, 500]
    assert staircase([False] * 60)[-1] == MIN_MS and staircase([True] * 60)[-1] == MAX_MS


@pytest.mark.parametrize("threshold", [200, 400, 700])
def test_it_settles_where_three_answers_of_four_are_right(threshold):
    runs = [observer(threshold, 150, seed) for seed in range(40)]
    found = [threshold_ms(wrong) for wrong in runs]
    assert fmean(found) == pytest.approx(threshold, rel=0.08)
    late = [missed for wrong in runs for missed in wrong[75:]]
    assert fmean(late) == pytest.approx(0.25, abs=0.03)
