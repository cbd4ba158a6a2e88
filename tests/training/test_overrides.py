"""Knobs at dotted keys and ratios of two of them: they change a job, and one that does not exist is named."""

import pytest
from prepared import PARAMS, digits, job

from genlib.errors import InputError
from genlib.training.job import TrainingSpec
from genlib.training.overrides import current_value, resolve_ratios, split_ratio


@pytest.fixture(scope="module")
def gan(tmp_path_factory):
    return job("gan", digits(tmp_path_factory.mktemp("data")), lr=1e-3, lr_by_phase={"g": 2e-3})


def test_options_are_the_given_ones_and_those_of_the_code(gan):
    found = gan.options()
    assert found["model.width"] == 4 and found["model.pack"] == 1
    assert found["objective.r2"] == 0.0 and found["train.lr_g"] == 2e-3
    assert "train.lr_by_phase" not in found


def test_a_ratio_follows_what_it_is_a_ratio_to(gan):
    assert split_ratio("train.lr_d/lr_g") == ("train.lr_d", "train.lr_g")
    assert current_value("train.lr_d", gan.options()) == 1e-3
    assert current_value("train.lr_d/lr_g", gan.options()) == 0.5
    alone = gan.with_overrides({"train.lr_d/lr_g": 0.25})
    assert alone.train.lr_by_phase == {"g": 2e-3, "d": 5e-4}
    both = gan.with_overrides({"train.lr_d/lr_g": 0.25, "train.lr_g": 1.0})
    assert both.train.lr_by_phase == {"g": 1.0, "d": 0.25}


@pytest.mark.parametrize(("ratio", "width"), [(0.5, 2), (0.6, 2), (0.9, 4), (0.01, 1), (2, 8)])
def test_the_product_with_a_whole_number_is_whole_and_at_least_one(gan, ratio, width):
    assert gan.with_overrides({"model.width_d/width": ratio}).model["width_d"] == width


def test_current_values_change_nothing(gan):
    keys = ["train.lr_g", "train.lr_d/lr_g", "model.width_d/width", "objective.r1", "train.beta1"]
    same = gan.with_overrides({key: current_value(key, gan.options()) for key in keys})
    assert same.options() == gan.options() | {"train.lr_d": 1e-3}


@pytest.mark.parametrize("key", ["model.depth", "objective.beta", "train.rate", "model.width_d/depth"])
def test_a_knob_that_is_nothing_is_named(gan, key):
    with pytest.raises(InputError, match="expected "):
        current_value(key, gan.options())


def test_the_default_spaces_hold_knobs_that_exist():
    searched = {name: section for name, section in PARAMS.models.items() if section.search_space}
    assert set(searched) == {"vae", "gan"}
    for name, section in searched.items():
        values = TrainingSpec(name, section.model, section.objective, PARAMS.train_config(name)).options()
        current = {key: current_value(key, values) for key in section.search_space}
        assert set(resolve_ratios(current, values)) == {
            split_ratio(key)[0] if "/" in key else key for key in section.search_space
        }
