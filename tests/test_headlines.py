"""The few values that DVC's tables show: plain names, plain numbers, and the first of what was asked for."""

from genlib.evaluation.evaluator import HEADLINES, headlines


def test_the_first_that_were_asked_for_are_told_where_they_have_a_value():
    asked = [f"m{at}" for at in range(HEADLINES + 2)]
    values = {name: float(at) for at, name in enumerate(reversed(asked))} | {"m1": None}
    told = headlines(values, asked)
    assert told == {name: values[name] for name in asked[:HEADLINES] if name != "m1"}


def test_of_a_translator_the_mean_of_both_ways_is_told_where_both_are_known():
    values = {"kid_a2b": 0.5, "kid_b2a": 1.5, "coverage_a2b": 0.5, "coverage_b2a": None, "cycle_error_a2b": 0.1}
    assert headlines(values, ["kid", "coverage"]) == {"kid": 1.0}
