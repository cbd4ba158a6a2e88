"""The difference of two models by one metric: paired on the same test images, else as of independent values."""

from dataclasses import replace

import pytest
import torch

from genlib.evaluation.halves import HALVINGS
from genlib.metrics.differences import compare_results, format_halves
from genlib.metrics.result import MetricResult
from genlib.metrics.stats.intervals import t_quantile

N = 1000


def result(value, halves=None, *, half=0.1, null=0.0, test="a", **detail):
    if halves is not None:
        detail["halves"] = {"test": test, "size": N // 2, "values": format_halves(halves)}
    return MetricResult(value, value - half, value + half, null, N, detail)


def chance(seed, deviation=1.0):
    """Values on halves [HALVINGS, 2]."""
    return deviation * torch.randn(HALVINGS, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_what_both_share_is_no_part_of_the_difference():
    shared, own = chance(0, 5.0), chance(1, 0.1)
    found = compare_results("kid", result(2.0, shared), result(1.5, shared + own))
    variance = float(own.var(1).mean()) / 2
    assert found.value == -0.5 and found.outcome == "better" and found.note == ""
    assert (found.high - found.low) / 2 == pytest.approx(t_quantile(HALVINGS) * variance**0.5, rel=1e-3)


@pytest.mark.parametrize(("metric", "better"), [("kid", -1), ("coverage", 1), ("density", -1), ("inception_score", 1)])
@pytest.mark.parametrize("change", [-0.5, 0.01, 0.5])
def test_the_outcome_is_that_of_the_metrics_direction_and_turns_with_the_sides(metric, better, change):
    a, b = result(2.0, chance(0, 0.1)), result(2.0 + change, chance(1, 0.1))
    forth, back = compare_results(metric, a, b), compare_results(metric, b, a)
    told = "cannot tell" if change == 0.01 else "better" if change * better > 0 else "worse"
    assert forth.outcome == told
    assert (forth.value, forth.low, forth.high, forth.p) == pytest.approx((-back.value, -back.high, -back.low, back.p))
    assert (forth.p < 0.05) == (told != "cannot tell")


def test_best_as_real_images_is_the_nearer_one_on_either_side():
    """1.3 and 0.9 differ, and so do their distances from 1; 1.2 and 0.8 are as far."""
    a, halves = chance(0, 0.02), chance(1, 0.02)
    near = compare_results("density", result(1.3, a, null=1.0), result(0.9, halves, null=1.0))
    alike = compare_results("density", result(1.2, a, null=1.0), result(0.8, halves, null=1.0))
    assert near.value == pytest.approx(-0.2) and near.outcome == "better"
    assert alike.value == pytest.approx(0, abs=1e-9) and alike.outcome == "cannot tell"


def test_the_variance_of_second_order_is_taken_off_once_and_is_at_most_half():
    a, b = chance(0), chance(1)
    plain = compare_results("kid", result(0.0, a), result(1.0, b))
    less = compare_results("kid", result(0.0, a, second_order=0.1), result(1.0, b, second_order=0.2))
    least = compare_results("kid", result(0.0, a, second_order=9.0), result(1.0, b, second_order=9.0))
    squares = [((each.high - each.low) / 2 / t_quantile(HALVINGS)) ** 2 for each in (plain, less, least)]
    assert squares[1] == pytest.approx(squares[0] - 0.3) and squares[2] == pytest.approx(squares[0] / 2)


@pytest.mark.parametrize(
    ("metric", "changes", "note"),
    [
        ("kid", {"detail": {}}, "no values on halves"),
        (
            "kid",
            {"detail": {"halves": {"test": "b", "size": 500, "values": format_halves(chance(3))}}},
            "other test images",
        ),
        ("vendi", {}, "does not depend on the test images"),
    ],
)
def test_an_unpaired_difference_says_why_and_adds_both_variances(metric, changes, note):
    a, b = result(1.0, chance(0), half=0.3), replace(result(2.0, chance(1), half=0.4), **changes)
    found = compare_results(metric, a, b)
    assert note in found.note and note in str(found)
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 0.5, 1.5))


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"n": 500}, "n is 1000 and 500"),
        ({"value": None, "detail": {"reason": "too few"}}, "too few"),
        ({"detail": {"controls": {"noise": {"failed": "blind to noise"}}}}, "blind to noise"),
    ],
)
def test_what_does_not_compare_is_not_compared(changes, note):
    found = compare_results("kid", result(1.0, chance(0)), replace(result(2.0, chance(1)), **changes))
    assert (found.value, found.outcome) == (None, "cannot tell") and note in str(found)


def test_the_same_model_does_not_differ_from_itself():
    found = compare_results("kid", result(1.0, chance(0)), result(1.0, chance(0)))
    assert (found.value, found.p, found.outcome) == (0.0, 1.0, "cannot tell")


def test_a_metric_that_no_longer_exists_is_told_of():
    assert "no such metric" in compare_results("gone", result(1.0), result(2.0)).note
