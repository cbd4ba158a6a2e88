"""What a search is after: feasible before infeasible, near ties by their median, the Pareto front."""

import itertools
import math

import pytest

from genlib.metrics.constraints import build_constraints
from genlib.tuning.objective import SearchObjective
from genlib.tuning.trial import Trial

(LIMIT,) = build_constraints({"coverage": 0.5}, {"coverage": 1.0})
KID = SearchObjective("kid", "lower", (LIMIT,))


def trial(number, status="finished", **metrics):
    return Trial(number, {}, metrics, 100, 1.0, 100, status)


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_a_searcher_is_told_an_order_that_no_score_can_buy(better):
    """Deb's rules over every pair: inside by the metric, outside by the distance, inside before outside before none."""
    aim = SearchObjective("score", better, (LIMIT,))
    scores = sorted([-1e9, -3.0, -0.1, 0.0, 0.2, 5.0, 1e9], reverse=better == "higher")
    inside = [aim.scalarize({"score": score, "coverage": 0.9}) for score in scores]
    outside = [aim.scalarize({"score": scores[0], "coverage": c}) for c in (0.49, 0.3, 0.0)]
    told = [each["objective"] for each in (*inside, *outside, aim.scalarize({}))]
    assert all(a < b for a, b in itertools.pairwise(told))
    assert all(value < 1 for value in told[: len(scores)]) and all(value > 1 for value in told[len(scores) :])


def test_two_aims_are_both_told_less_is_better():
    aim = SearchObjective("kid", "lower", second_metric="coverage")
    few, many = (aim.scalarize({"kid": 0.1, "coverage": c}) for c in (0.2, 0.8))
    assert few["objective"] == many["objective"] and many["second_metric"] < few["second_metric"]
    assert aim.scalarize({}).keys() == few.keys()


def test_what_cannot_win_does_not():
    trials = [
        trial(0, kid=0.5, coverage=0.9),
        trial(1, kid=0.1, coverage=0.1),
        trial(2, "stopped early", kid=0.2, coverage=0.9),
        trial(3, "collapsed", kid=0.0, coverage=0.9),
        trial(4, kid=0.4, coverage=0.6),
        trial(5, "error"),
        trial(6, kid=0.3),
    ]
    assert KID.best(trials).number == 4
    assert [each.number for each in trials if KID.is_feasible(each)] == [0, 2, 4]
    assert KID.best(trials[1:4]) is None
    assert SearchObjective("kid", "higher").best(trials).number == 0


@pytest.mark.parametrize("better", ["lower", "higher"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_never_wins(better, value):
    """Values that are no numbers: a trial whose score is NaN was ranked by chance."""
    objective = SearchObjective("kid", better, second_metric="coverage")
    trials = [trial(0, kid=value, coverage=value), trial(1, kid=0.5, coverage=0.5)]
    assert objective.best(trials) == trials[1] and not objective.is_feasible(trials[0])
    assert objective.scalarize(trials[0].metrics) == objective.scalarize({})


def test_near_ties_are_those_whose_intervals_meet_three_at_the_most():
    def spanning(number, kid, half):
        return trial(number, kid=kid, kid_low=kid - half, kid_high=kid + half, coverage=0.9)

    trials = [spanning(0, 0.5, 0.02), spanning(1, 0.1, 0.05), spanning(2, 0.14, 0.01), spanning(3, 0.2, 0.01)]
    assert [each.number for each in KID.near_ties(trials)] == [1, 2]
    assert [each.number for each in KID.near_ties([spanning(n, 0.1 * n, 9) for n in range(5)])] == [0, 1, 2]
    assert [each.number for each in KID.near_ties([trial(0, kid=0.1, coverage=1), trial(1, kid=0.1, coverage=1)])] == [
        0
    ]
    assert KID.near_ties([trial(0, kid=0.1, coverage=0)]) == []


def test_the_median_of_the_runs_decides_near_ties():
    lucky, steady = (trial(n, kid=kid, kid_low=0.0, kid_high=1.0, coverage=0.9) for n, kid in enumerate((0.1, 0.2)))
    repeats = {
        0: [trial(0, kid=0.5, coverage=0.9), trial(1, kid=0.4, coverage=0.9)],
        1: [trial(2, kid=0.25, coverage=0.9), trial(3, kid=0.1, coverage=0.9)],
    }
    assert KID.winner([lucky, steady], {}) is lucky
    assert KID.winner([lucky, steady], repeats) is steady
    assert KID.winner([lucky], {}) is lucky
    assert KID.winner([], {}) is None


def test_a_winner_that_leaves_the_limits_more_often_than_not_is_none():
    fluke = trial(0, kid=0.1, kid_low=0.0, kid_high=1.0, coverage=0.9)
    other = trial(1, kid=0.2, kid_low=0.0, kid_high=1.0, coverage=0.9)
    gone = [trial(2, kid=0.1, coverage=0.1), trial(3, "collapsed", kid=0.1, coverage=0.9)]
    assert KID.winner([fluke, other], {0: gone, 1: []}) is other
    assert KID.winner([fluke], {0: gone}) is None


def test_the_front_holds_what_nothing_beats_in_both():
    aim = SearchObjective("kid", "lower", second_metric="coverage")
    places = [(0.1, 0.5), (0.2, 0.8), (0.3, 0.7), (0.4, 0.9), (0.1, 0.4)]
    trials = [trial(n, kid=kid, coverage=coverage) for n, (kid, coverage) in enumerate(places)]
    assert sorted(each.number for each in aim.pareto_front(trials)) == [0, 1, 3]
    assert [each.number for each in SearchObjective("kid").pareto_front(trials)] == [0, 4]
    assert aim.pareto_front([]) == []
