"""The metric of exposures: the mean over raters of where their staircases settle."""

from dataclasses import replace
from statistics import fmean, stdev

import pytest
from scipy import stats
from surveys import evidence as evidence
from surveys import observer

from genlib.human.answers import Answer
from genlib.human.staircase import threshold_ms
from genlib.metrics.human import human_exposure


def both(rater, wrong):
    """Answers about real and generated images in turn."""
    kinds = [("real", "fake"), ("fake", "real")]
    return [
        Answer(rater, f"m-timed-{kinds[i % 2][0]}-{i}", kinds[i % 2][missed], kinds[i % 2][0], 1.0, "2026-01-01")
        for i, missed in enumerate(wrong)
    ]


def test_the_value_is_the_mean_over_raters_with_students_interval(evidence):
    runs = {name: observer(300, 120, i) for i, name in enumerate("abcdef")}
    answers = [answer for name, wrong in runs.items() for answer in both(name, wrong)]
    found = human_exposure(replace(evidence, ratings=tuple(answers)))
    each = [threshold_ms(wrong) for wrong in runs.values()]
    low, high = stats.t.interval(0.95, 5, fmean(each), stdev(each) / 6**0.5)
    assert found.value == pytest.approx(fmean(each)) and found.n == 720
    assert (found.low, found.high) == pytest.approx((low, high), rel=2e-3)


def test_a_rater_who_stopped_early_has_no_exposure_and_one_alone_no_interval(evidence):
    answers = [*both("a", observer(300, 120, 0)), *both("b", [False] * 40)]
    found = human_exposure(replace(evidence, ratings=tuple(answers)))
    assert found.detail["unfinished"] == ["b"] and found.detail["raters"] == 1
    assert found.value == threshold_ms(observer(300, 120, 0)) and found.low is found.high is None
    few = human_exposure(replace(evidence, ratings=tuple(both("b", [False] * 40))))
    assert few.value is None and "found 40 answers of one rater, needs at least 80" in few.detail["reason"]
