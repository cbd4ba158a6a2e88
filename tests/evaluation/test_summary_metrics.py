"""The few values that DVC's tables show: plain names, plain numbers, and the first of what was asked for."""

from genlib.evaluation.evaluator import NUM_SUMMARY_METRICS, summary_metrics


def test_the_first_that_were_asked_for_are_told_where_they_have_a_value():
    asked = [f"m{at}" for at in range(NUM_SUMMARY_METRICS + 2)]
    values = {name: float(at) for at, name in enumerate(reversed(asked))} | {"m1": None}
    told = summary_metrics(values, asked)
    assert told == {name: values[name] for name in asked[:NUM_SUMMARY_METRICS] if name != "m1"}


def test_of_a_translator_the_mean_of_both_ways_is_told_where_both_are_known():
    values = {"kid_a2b": 0.5, "kid_b2a": 1.5, "coverage_a2b": 0.5, "coverage_b2a": None, "cycle_error_a2b": 0.1}
    assert summary_metrics(values, ["kid", "coverage"]) == {"kid": 1.0}
