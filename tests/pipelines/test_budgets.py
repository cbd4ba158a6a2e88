"""Counts of images for any data: the work of the graph is the same, and its shares are the preset's."""

from math import prod
from pathlib import Path

import pytest

from genlib.params import parse_params, read_yaml
from pipelines import budgets
from pipelines.budgets import (
    GRAPH_FLOPS,
    MAX_SCALE,
    describe_budgets,
    describe_shrunk,
    round_down,
    scale_budgets,
    shrink_counts,
)
from pipelines.model_checks import DataSpec
from pipelines.params_file import lay_preset

ROOT = Path(__file__).parents[2]


def small(name="photos64-small"):
    return parse_params(lay_preset(read_yaml(ROOT / "params.yaml"), read_yaml(ROOT / f"presets/{name}.yaml")))


@pytest.fixture
def by_pixels(monkeypatch):
    """Operations as many as there are pixels: what is counted in their place takes seconds."""
    monkeypatch.setattr(budgets, "flops_per_image", lambda job, shape, *data: 1e4 * prod(shape) * len(job.name))


def spec(side, channels=3):
    return DataSpec((channels, side, side), 3, 3, 2)


def graph_flops(params, counts, data_spec):
    """Operations of all stages at those counts, with trials and refits of a tuned model."""
    total = 0.0
    for name in params.models:
        images = counts[f"models.{name}.train.total_images"]
        if name in params.tune.models:
            images = images * (1 + params.tune.refit.seeds) + params.tune.trials * counts["tune.images_per_trial"]
        section = params.models[name]
        job = budgets.TrainingSpec(name, section.model, section.objective, params.train_config(name))
        total += images * budgets.flops_per_image(job, data_spec.shape, 3, 2)
    return total


def test_the_graph_costs_what_it_may():
    params, data_spec = small(), spec(64)
    assert 0.85 < graph_flops(params, scale_budgets(params, data_spec, ()), data_spec) / GRAPH_FLOPS <= 1


@pytest.mark.parametrize("side", [64, 100, 512])
def test_the_graph_costs_the_same_at_any_size(side, by_pixels):
    params, data_spec = small(), spec(side)
    assert 0.85 < graph_flops(params, scale_budgets(params, data_spec, ()), data_spec) / GRAPH_FLOPS <= 1


def test_a_model_trained_twice_costs_twice(by_pixels):
    once, twice = small(), small().with_overrides({"train.seeds": 2, "tune.models": []})
    once = once.with_overrides({"tune.models": []})
    key = "models.gan.train.total_images"
    counts = [scale_budgets(params, spec(512), ())[key] for params in (once, twice)]
    assert counts[1] == pytest.approx(counts[0] / 2, rel=0.1)


def test_small_images_are_not_seen_without_end(by_pixels):
    params = small("gray32-small")
    counts = scale_budgets(params, spec(8, 1), ())
    totals = {name: counts[f"models.{name}.train.total_images"] for name in params.models}
    assert totals == {name: round_down(MAX_SCALE * params.train_config(name).total_images) for name in params.models}


def test_shares_are_those_of_the_preset_and_reports_are_twenty(by_pixels):
    params = small()
    counts = scale_budgets(params, spec(48), ())
    scales = set()
    for name in params.models:
        total = counts[f"models.{name}.train.total_images"]
        scales.add(total / params.train_config(name).total_images)
        assert 20 <= total / counts[f"models.{name}.train.report_every"] <= 22
        assert 4 <= total / counts[f"models.{name}.train.checkpoint_every"] <= 4.4
    assert max(scales) < 1.1 * min(scales)


@pytest.mark.parametrize("side", [32, 64, 128, 200])
def test_the_counts_of_a_preset_are_fewer_of_large_images_only(side, by_pixels):
    params, counts = small(), {"models.gan.train.total_images": 8000, "tune.images_per_trial": 4000}
    shrunk = shrink_counts(params, spec(side), counts | {"models.gan.model.width": 8, "tune.trials": 2})
    factor = min(1, 64 / side) ** 2
    assert shrunk == ({key: round_down(factor * count) for key, count in counts.items()} if side > 64 else {})
    assert len(describe_shrunk(shrunk)) == (side > 64)


def test_what_is_given_is_left_alone(by_pixels):
    given = {"models.gan.train.total_images": 1, "tune.images_per_trial": 1, "models.vae.train.report_every": 1}
    params = small()
    counts, all_counts = (scale_budgets(params, spec(64), keys) for keys in (given, ()))
    assert not any(key.startswith("models.gan.") or key in given for key in counts)
    assert counts.items() <= all_counts.items() and len(all_counts) - len(counts) == 5
    assert " gan " not in describe_budgets(counts)[0] and " gan " in describe_budgets(all_counts)[0]
    assert describe_budgets({"tune.images_per_trial": 5}) == []


@pytest.mark.parametrize("count", [0.2, 1, 9.9, 10, 99, 100, 12_345, 99_999.9, 10**9])
def test_counts_are_rounded_down_to_two_digits(count):
    rounded = round_down(count)
    assert rounded == max(1, int(count)) or (0.9 * count < rounded <= count and int(str(rounded)[2:]) == 0)
