"""A metric over training seeds: median and two-level interval."""

import numpy as np
import pytest
import torch

from genlib.metrics.differences import compare_results, format_halves
from genlib.metrics.result import MetricResult
from genlib.metrics.seeds import median_over_seeds
from genlib.metrics.stats.two_level import price_of_median

N, SEEDS, HALVINGS = 1000, 3, 25
SPREAD, SHARED, OWN = 1.0, 0.8, 0.5  # deviations: between trainings, of the test images, of the generated images


def result(value, halves=None, half=0.1):
    detail = {} if halves is None else {"halves": {"test": "a", "size": N // 2, "values": format_halves(halves)}}
    return MetricResult(value, value - half, value + half, 0.5, N, detail)


def trained(generator, mean=0.0, shared=None):
    """Results of SEEDS trainings on one draw of the test images, whose values on halves vary twice as much."""
    shared = shared or (generator.normal(0, SHARED), generator.normal(0, SHARED * 2**0.5, (HALVINGS, 2)))
    runs = []
    for _ in range(SEEDS):
        value = mean + shared[0] + generator.normal(0, SPREAD) + generator.normal(0, OWN)
        halves = shared[1] + generator.normal(0, OWN * 2**0.5, (HALVINGS, 2))
        runs.append({"kid": result(value, torch.as_tensor(halves))})
    return runs


def test_one_seed_keeps_its_own_interval():
    assert median_over_seeds([{"kid": result(0.3)}]) == {"kid": result(0.3)}


def test_the_median_is_given_with_the_range_which_is_no_interval():
    [found] = median_over_seeds([{"kid": result(value)} for value in (0.2, 0.9, 0.4)]).values()
    assert (found.value, found.null, found.n) == (0.4, 0.5, N)
    assert found.detail["seeds"]["range"] == [0.2, 0.9] and found.low < 0.2 and found.high > 0.9


def test_no_interval_goes_beyond_what_a_metric_can_be():
    [found] = median_over_seeds([{"coverage": result(value)} for value in (0.05, 0.9, 0.4)]).values()
    assert (found.low, found.high) == (0.0, 1.0)


def test_without_the_test_images_the_spread_over_seeds_is_all():
    """A metric of the generated images alone: Student's t of the three values, the median's price on top."""
    values = (20.0, 22.0, 27.0)
    [found] = median_over_seeds([{"vendi": result(value, half=9.0)} for value in values]).values()
    half = 4.302653 * (price_of_median(3) * 13 / 3) ** 0.5
    assert (found.low, found.high) == pytest.approx((22 - half, 22 + half), rel=1e-5)


def test_the_two_level_interval_holds_the_truth_in_95_of_100():
    """2,000 times three seeds, standard error 0.5 points; without the test images' part it would hold 87."""
    generator = np.random.default_rng(0)
    found = [median_over_seeds(trained(generator))["kid"] for _ in range(2000)]
    assert 0.935 < np.mean([each.low <= 0 <= each.high for each in found]) < 0.98


def test_the_difference_of_two_medians_holds_the_truth_in_95_of_100():
    generator, held = np.random.default_rng(1), []
    for _ in range(1000):
        shared = (generator.normal(0, SHARED), generator.normal(0, SHARED * 2**0.5, (HALVINGS, 2)))
        sides = (median_over_seeds(trained(generator, mean, shared))["kid"] for mean in (0.0, 1.0))
        difference = compare_results("kid", *sides)
        held.append(difference.low <= 1 <= difference.high)
    assert 0.93 < np.mean(held) < 0.98


@pytest.mark.parametrize("values", [(None, None), (None, 0.3)])
def test_fewer_than_two_values_give_none_and_the_reason(values):
    [found] = median_over_seeds([{"kid": MetricResult() if v is None else result(v)} for v in values]).values()
    assert found.value is None and "seeds, and needs two" in found.detail["reason"]
