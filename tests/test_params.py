"""params.yaml: every wrong key and value is named with its path and what is legal there."""

from pathlib import Path

import pytest

from genlib.errors import InputError
from genlib.params import load_params, merge, nested, parse, read_yaml

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def values():
    return read_yaml(ROOT / "params.yaml")


WRONG = {
    "models.gan.train.lr_g": ("fast", "valid number"),
    "dota": ({}, "did you mean data"),
    "data.nam": ("digits", "did you mean name"),
    "data.seed": (-1, "greater than or equal to 0"),
    "data.split": ("random", "'official' or 'pooled'"),
    "data.image_size": (4, "greater than or equal to 8"),
    "train.batch_size": (0, "greater than or equal to 1"),
    "train.lr": (-1.0, "greater than 0"),
    "train.imagess": (5, "did you mean images"),
    "models.gan.train.workers": ("two", "valid integer"),
    "models.gan.train.ema": (1.0, "less than 1"),
    "models.gan.train.warmupp": (0.1, "did you mean warmup"),
    "models.gan.modle": ({}, "did you mean model"),
    "tune.models": (["classifier"], "legal: gan"),
    "tune.trials": (0, "greater than or equal to 1"),
    "tune.searcher": ("grid", "random"),
    "evaluate.metrics": ([], "at least 1"),
    "evaluate.samples": (10.5, "valid integer"),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_key_or_value_is_named_in_one_line(values, key):
    value, legal = WRONG[key]
    with pytest.raises(InputError) as error:
        parse(merge(values, nested({key: value})))
    message = str(error.value)
    assert message.startswith(f"params.yaml: {key}: ")
    assert legal in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("entry", "legal"),
    [
        ({"loguniform": [0, 1]}, "low > 0"),
        ({"uniform": [2, 1]}, "low < high"),
        ({"int": [1, 2.5]}, "two numbers"),
        ({"choice": []}, "one or more"),
        ({"normal": [0, 1]}, "uniform"),
        ({}, "one of"),
        ({"uniform": [0, 1], "int": [0, 1]}, "one of"),
    ],
)
def test_a_wrong_distribution_is_named(values, entry, legal):
    wrong = merge(values, nested({"models.gan.search": {"train.lr_g": entry}}))
    with pytest.raises(InputError, match=r"models\.gan\.search\.train\.lr_g: found .*legal: ") as error:
        parse(wrong)
    assert legal in str(error.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [("a: [1", "not valid YAML"), ("- 1", "found list"), ("a: 1\na: 2", "not valid YAML"), (b"\xff\xfe\x00", "not")],
)
def test_a_file_that_is_no_mapping_is_named(tmp_path, text, found):
    path = tmp_path / "params.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=found) as error:
        load_params(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"params\.yaml: not readable"):
        load_params(tmp_path / "params.yaml")


def test_a_models_own_settings_override_the_defaults(values):
    params = parse(merge(values, nested({"train.batch_size": 32, "models.gan.train.batch_size": 64})))
    assert params.training("gan")["batch_size"] == 64
    assert params.training("vae")["batch_size"] == 32
    assert set(params.training("gan")["lr_by_turn"]) == {"g", "d"}


def test_merging_replaces_lists_and_search_spaces_whole():
    base = {"a": {"b": 1, "c": [1, 2], "search": {"x": 1}}}
    assert merge(base, {"a": {"c": [3], "search": {"y": 2}}}) == {"a": {"b": 1, "c": [3], "search": {"y": 2}}}
    assert base == {"a": {"b": 1, "c": [1, 2], "search": {"x": 1}}}


def test_the_digest_follows_every_value(values):
    params = parse(values)
    assert params.digest() == parse(values).digest()
    assert params.digest() != params.changed({"evaluate.seed": 5}).digest()


def test_numbers_in_scientific_form_are_numbers(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("lr: 1e-3\n")
    assert read_yaml(path) == {"lr": 0.001}


@pytest.mark.parametrize("preset", sorted((ROOT / "presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_is_legal(values, preset):
    parse(merge(values, read_yaml(preset)))
