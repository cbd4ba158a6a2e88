"""The staircase of exposures: where it goes, where it settles, and that the page and the metric climb the same one."""

from dataclasses import replace
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy import stats
from test_rating import evidence as evidence
from test_rating import survey

from genlib.human.answers import Answer, read_answers
from genlib.human.app import create_app
from genlib.human.staircase import FIRST_MS, MAX_MS, MIN_MS, staircase, threshold_ms
from genlib.metrics.human import human_exposure


def seen(threshold, looks, seed):
    """Which answers are wrong of an observer who is right in three of four after `threshold` ms, more after longer."""
    rng, wrong = np.random.default_rng(seed), []
    for _ in range(looks):
        right = 0.5 + 0.5 / (1 + (staircase(wrong)[-1] / threshold) ** -4)
        wrong.append(bool(rng.random() > right))
    return wrong


def test_looks_grow_longer_by_three_steps_and_shorter_by_one_within_bounds():
    assert staircase([]) == [FIRST_MS]
    assert staircase([True, False, False, False]) == [500, 530, 520, 510, 500]
    assert staircase([False] * 60)[-1] == MIN_MS and staircase([True] * 60)[-1] == MAX_MS


@pytest.mark.parametrize("threshold", [200, 400, 700])
def test_it_settles_where_three_answers_of_four_are_right(threshold):
    runs = [seen(threshold, 150, seed) for seed in range(40)]
    found = [threshold_ms(wrong) for wrong in runs]
    assert fmean(found) == pytest.approx(threshold, rel=0.08)
    late = [missed for wrong in runs for missed in wrong[75:]]
    assert fmean(late) == pytest.approx(0.25, abs=0.03)


def both(rater, wrong):
    """Answers about real and generated images in turn."""
    kinds = [("real", "fake"), ("fake", "real")]
    return [
        Answer(rater, f"m-timed-{kinds[i % 2][0]}-{i}", kinds[i % 2][missed], kinds[i % 2][0], 1.0, "2026-01-01")
        for i, missed in enumerate(wrong)
    ]


def test_the_value_is_the_mean_over_raters_with_students_interval(evidence):
    runs = {name: seen(300, 120, i) for i, name in enumerate("abcdef")}
    answers = [answer for name, wrong in runs.items() for answer in both(name, wrong)]
    found = human_exposure(replace(evidence, ratings=tuple(answers)))
    each = [threshold_ms(wrong) for wrong in runs.values()]
    low, high = stats.t.interval(0.95, 5, fmean(each), stdev(each) / 6**0.5)
    assert found.value == pytest.approx(fmean(each)) and found.n == 720
    assert (found.low, found.high) == pytest.approx((low, high), rel=2e-3)


def test_a_rater_who_stopped_early_has_no_exposure_and_one_alone_no_interval(evidence):
    answers = [*both("a", seen(300, 120, 0)), *both("b", [False] * 40)]
    found = human_exposure(replace(evidence, ratings=tuple(answers)))
    assert found.detail["unfinished"] == ["b"] and found.detail["raters"] == 1
    assert found.value == threshold_ms(seen(300, 120, 0)) and found.low is found.high is None
    few = human_exposure(replace(evidence, ratings=tuple(both("b", [False] * 40))))
    assert few.value is None and "found 40 answers of one rater, needs at least 80" in few.detail["reason"]


def test_the_page_climbs_the_stairs_of_the_answers_that_it_keeps_and_goes_on_there(tmp_path):
    path = tmp_path / "a.csv"
    every = survey(path, "timed")
    client = create_app(every, "test").test_client()
    told = [client.get("/next?rater=a").json["exposure"]]
    for at in range(20):
        sent = {"rater": "a", "position": at, "answer": "fake", "seconds": 1}
        told.append(client.post("/answer", json=sent).json["exposure"])
    kept = [answer for answer in read_answers(path) if not answer.is_catch]
    assert 10 < len(kept) < 20  # noise, which is plain to see after any look, moves nothing
    stood = [at for at, answer in enumerate(read_answers(path)) if answer.is_catch]
    assert [each for at, each in enumerate(told[1:]) if at not in stood] == staircase(a.is_wrong for a in kept)[1:]
    assert all(told[at + 1] == told[at] for at in stood) and told[0] == FIRST_MS
    again = create_app(survey(path, "timed"), "test").test_client()
    assert again.get("/next?rater=a").json["exposure"] == told[-1]
    assert again.get("/next?rater=b").json["exposure"] == FIRST_MS
    assert (
        create_app(survey(tmp_path / "b.csv", "one"), "test").test_client().get("/next?rater=a").json["exposure"]
        is None
    )
