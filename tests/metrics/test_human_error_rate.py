"""What people say: every answer is kept once, and the error rate is what the answers give."""

import re
from dataclasses import replace
from itertools import chain
from pathlib import Path
from statistics import fmean

import pytest
import torch
from scipy import stats
from surveys import answers
from surveys import evidence as evidence

from genlib.evaluation.evaluator import applicable_metrics
from genlib.human.answers import Answer
from genlib.metrics.human import (
    ASSUMED_RATER_STD,
    bootstrap_error_rates,
    count_wrong,
    human_choice_error,
    human_error_rate,
    interval_half_width,
    rater_std,
)


def rate(evidence, *parts):
    return human_error_rate(replace(evidence, ratings=tuple(chain(*parts))))


def test_the_rate_is_the_share_of_wrong_answers_of_those_who_look(evidence):
    caught = answers("b", 1, 3, item="catch")
    found = rate(
        evidence, answers("a", 30, 10), answers("c", 10, 10, item="real", truth="real"), answers("b", 40, 0), caught
    )
    assert found.value == pytest.approx(20 / 60) and found.n == 60
    assert found.detail["left_out"] == ["b"] and found.detail["raters"] == 2
    assert found.detail["by_kind"] == {"real": 0.5, "fake": 0.25}
    assert found.null is None and not found.detail["equivalent"]


def test_a_rater_who_says_one_thing_of_everything_is_left_out(evidence):
    """Half of it is right, by which the model would look perfect."""
    one_word = answers("b", 30, 0) + answers("b", 0, 30, item="real", truth="real")
    found = rate(evidence, answers("a", 30, 10), one_word)
    assert found.detail["left_out"] == ["b"] and found.value == 0.25


def test_the_interval_of_one_rater_is_that_of_a_binomial_share(evidence):
    found = rate(evidence, answers("a", 300, 100))
    low, high = (stats.binom(400, 0.25).ppf(q) / 400 for q in (0.025, 0.975))
    assert found.low == pytest.approx(low, abs=0.005) and found.high == pytest.approx(high, abs=0.005)


def test_raters_who_differ_widen_the_interval(evidence):
    alike = rate(evidence, *(answers(rater, 30, 10) for rater in "abcdef"))
    unlike = rate(evidence, *(answers(r, 22, 18) if r in "abc" else answers(r, 38, 2) for r in "abcdef"))
    assert alike.value == unlike.value
    assert unlike.high - unlike.low > 2 * (alike.high - alike.low)


def test_the_bootstrap_has_the_variance_of_two_stages():
    """Var = (between + within) / R of rates p_r of n answers each."""
    p, n = torch.tensor([0.2, 0.3, 0.5, 0.6]).double(), 50.0
    found = bootstrap_error_rates(p * n, torch.full((4,), n).double(), 0).var()
    expected = (p.var(correction=0) + (p * (1 - p) / n).mean()) / 4
    assert float(found) == pytest.approx(float(expected), rel=0.1)


@pytest.mark.parametrize(
    ("count", "share", "equivalent"), [(4000, 0.5, True), (400, 0.5, True), (100, 0.5, False), (4000, 0.42, False)]
)
def test_equivalence_to_chance_takes_enough_answers_and_a_rate_near_it(evidence, count, share, equivalent):
    found = rate(evidence, answers("a", round(count * (1 - share)), round(count * share)))
    assert found.detail["equivalent"] is equivalent


def test_answers_about_one_image_and_about_two_are_never_counted_together(evidence):
    sides = [("left", "left")] * 20 + [("right", "right")] * 16 + [("left", "right")] * 4
    two = [Answer("a", f"mark-two-{i}", said, truth, 1.0, "2026-01-01") for i, (said, truth) in enumerate(sides)]
    mixed = replace(evidence, ratings=(*answers("a", 30, 10), *two))
    assert (human_error_rate(mixed).value, human_error_rate(mixed).n) == (0.25, 40)
    found = human_choice_error(mixed)
    assert (found.value, found.n) == (0.1, 40) and found.detail["by_kind"] == {"left": 0.0, "right": 0.2}


def test_nobody_is_told_of_a_choice_that_was_never_asked(evidence):
    one = replace(evidence, ratings=tuple(answers("a", 30, 10)))
    assert applicable_metrics(one, ["human_error_rate", "human_choice_error"]) == ["human_error_rate"]
    assert "nobody was shown" in human_choice_error(one).detail["reason"]


def raters(k, n, spread, seed):
    """The wrong answers, of n each, of k raters whose own error rates have mean 0.5 and this standard deviation."""
    both = 0.125 / spread**2 - 0.5
    return torch.from_numpy(stats.betabinom(n, both, both).rvs(k, random_state=seed)).double()


def test_the_width_that_is_promised_is_that_of_the_error_rates_that_come():
    means = torch.stack([raters(10, 100, 0.08, seed).mean() / 100 for seed in range(2000)])
    assert interval_half_width(10, 100, 0.08) == pytest.approx(1.96 * float(means.std()), rel=0.05)


@pytest.mark.parametrize("n", [50, 400])
def test_how_raters_differ_is_found_whatever_chance_adds(n):
    count = torch.full((30,), float(n))
    found = [rater_std(raters(30, n, 0.08, seed), count) ** 2 for seed in range(300)]
    assert fmean(found) ** 0.5 == pytest.approx(0.08, rel=0.05)
    assert rater_std(count[:2], count[:2]) is None and rater_std(*count_wrong([])) is None


def test_the_widths_in_the_docs_are_those_of_the_formula():
    text = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    rows = re.search(r"\| answers each \|(.*)\n\|[-|]*\n((?:\|.*\n)*)", text)
    many = [int(each) for each in re.findall(r"\d+", rows[1])]
    for row in rows[2].splitlines():
        n, *points = (int(each) for each in re.findall(r"\d+", row))
        assert points == [round(100 * interval_half_width(k, n, ASSUMED_RATER_STD)) for k in many]


def test_too_few_answers_have_no_rate(evidence):
    assert "found 3 answers, needs at least 20" in rate(evidence, answers("a", 3, 0)).detail["reason"]
