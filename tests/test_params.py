"""params.yaml: every wrong key and value is named with its path and what is expected there."""

from pathlib import Path

import pytest
import torch

from genlib.data.config import DomainBConfig
from genlib.errors import InputError
from genlib.objectives.common.phases import Phase
from genlib.params import expand_dotted, load_params, merge, parse_params, read_yaml
from genlib.training.state import TrainState

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
    "data.image_size": (4, "a whole number from 8 to 512, auto, or null"),
    "data.resize": ("stretch", "'crop', 'squash' or 'pad'"),
    "data.workers": (-1, "greater than or equal to 0"),
    "data.domain_b": ("printed_digits", "valid dictionary"),
    "data.domain_b.nam": ("usps", "did you mean name"),
    "data.domain_b.name": (3, "valid string"),
    "data.domain_b.seed": (-1, "greater than or equal to 0"),
    "data.domain_b.image_size": (8, "expected name, root, seed"),
    "train.eps": (0.0, "greater than 0"),
    "models.gan.train.eps": ("small", "valid number"),
    "models.gan": ("gan", "valid dictionary"),
    "train.batch_size": (0, "greater than or equal to 1"),
    "train.lr": (-1.0, "greater than 0"),
    "train.seeds": (0, "greater than or equal to 1"),
    "models.gan.train.seeds": (10_000, "less than or equal to 100"),
    "models.classifier.train.seeds": (1.5, "valid integer"),
    "train.total_image": (5, "did you mean total_images"),
    "models.gan.train.workers": ("two", "[least, most]"),
    "models.gan.train.ema": (1.0, "less than 1"),
    "models.gan.train.warmup_fractionn": (0.1, "did you mean warmup_fraction"),
    "models.gan.modle": ({}, "did you mean model"),
    "tune.models": (["classifier"], "expected gan"),
    "tune.trials": (0, "greater than or equal to 1"),
    "tune.searcher": ("grid", "random"),
    "evaluate.metrics": ([], "at least 1"),
    "evaluate.samples": (10.5, "valid integer"),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_key_or_value_is_named_in_one_line(values, key):
    value, expected = WRONG[key]
    values = merge(values, {"data": {"domain_b": {"name": "printed_digits"}}})
    with pytest.raises(InputError) as error:
        parse_params(merge(values, expand_dotted({key: value})))
    message = str(error.value)
    assert message.startswith(f"params.yaml: {key}: ")
    assert expected in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("entry", "expected"),
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
def test_a_wrong_distribution_is_named(values, entry, expected):
    wrong = merge(values, expand_dotted({"models.gan.search_space": {"train.lr_g": entry}}))
    with pytest.raises(InputError, match=r"models\.gan\.search_space\.train\.lr_g: got .*expected ") as error:
        parse_params(wrong)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [("a: [1", "not valid YAML"), ("- 1", "got list"), ("a: 1\na: 2", "not valid YAML"), (b"\xff\xfe\x00", "not")],
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


def test_a_model_is_trained_with_as_many_seeds_as_asked_from_its_own_on(values):
    params = parse_params(merge(values, {"train": {"seeds": 3}, "models": {"gan": {"train": {"seed": 7, "seeds": 2}}}}))
    others = [name for name in params.models if name != "gan"]
    assert [*params.train_seeds("gan")] == [7, 8]
    assert all(len(params.train_seeds(name)) == 3 for name in others)
    assert params.train_config("gan") == parse_params(
        merge(values, {"models": {"gan": {"train": {"seed": 7}}}})
    ).train_config("gan")


def test_a_models_own_settings_override_the_defaults(values):
    params = parse_params(merge(values, expand_dotted({"train.batch_size": 32, "models.gan.train.batch_size": 64})))
    assert params.train_config("gan").batch_size == 64
    assert params.train_config("vae").batch_size == 32
    assert set(params.train_config("gan").lr_by_phase) == {"g", "d"}


def test_merging_replaces_lists_and_search_spaces_whole():
    base = {"a": {"b": 1, "c": [1, 2], "search_space": {"x": 1}}}
    assert merge(base, {"a": {"c": [3], "search_space": {"y": 2}}}) == {
        "a": {"b": 1, "c": [3], "search_space": {"y": 2}}
    }
    assert base == {"a": {"b": 1, "c": [1, 2], "search_space": {"x": 1}}}


NULLS = {
    "a section": ({"a": {"b": {"c": 1}, "d": 2}}, {"a": {"b": None}}, {"a": {"d": 2}}),
    "a search": ({"a": {"search_space": {"x": 1}}}, {"a": {"search_space": None}}, {"a": {}}),
    "an empty section": ({"a": {}}, {"a": None}, {}),
    "nothing": ({"a": 1}, {"b": None, "c": {"d": None}}, {"a": 1, "c": {"d": None}}),
    "a value": ({"a": {"b": 1}}, {"a": {"b": None}}, {"a": {"b": None}}),
    "a list": ({"a": [1]}, {"a": None}, {"a": None}),
    "a null": ({"a": None}, {"a": None}, {"a": None}),
    "and back": ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
}


@pytest.mark.parametrize("case", NULLS)
def test_a_null_takes_a_section_away(case):
    base, changes, merged = NULLS[case]
    assert merge(base, changes) == merged == merge(merged, changes)


def test_a_section_taken_away_is_at_its_default(values):
    whole = merge(values, expand_dotted({"data.domain_b.name": "digits", "tune.models": []}))
    params = parse_params(
        merge(whole, expand_dotted({"models.gan": None, "data.domain_b": None, "tune.constraints": None}))
    )
    assert "gan" in values["models"] and "gan" not in params.models
    assert (params.data.domain_b, params.tune.constraints) == (None, {})
    assert params.data.to_config().domain_b is None
    assert parse_params(merge(params.model_dump(), {})) == params


def test_a_null_cannot_take_away_what_must_be_there(values):
    for key in ("data", "evaluate", "models.gan.objective"):
        with pytest.raises(InputError, match=rf"params\.yaml: {key}: missing, expected "):
            parse_params(merge(values, expand_dotted({key: None})))


def test_what_comes_later_replaces_what_it_contradicts():
    assert expand_dotted({"a.b": None, "a.b.c": 1}) == {"a": {"b": {"c": 1}}}
    assert expand_dotted({"a.b.c": 1, "a.b": None}) == {"a": {"b": None}}


def test_a_second_domain_is_read(values):
    other = {"name": "folder_b", "root": "here", "seed": 3}
    settings = parse_params(merge(values, {"data": {"domain_b": other}})).data.to_config()
    assert settings.domain_b == DomainBConfig("folder_b", Path("here"), 3)
    bare = parse_params(merge(values, {"data": {"domain_b": {"name": "usps"}}})).data.to_config()
    assert bare.domain_b == DomainBConfig("usps", None, None)


def test_epsilon_reaches_the_optimiser(values):
    params = parse_params(merge(values, expand_dotted({"train.eps": 1e-4, "models.gan.train.eps": 1e-3})))
    for name, eps in (("vae", 1e-4), ("gan", 1e-3)):
        net = torch.nn.Linear(1, 1)
        state = TrainState.create(net, (Phase("g", net, lambda batch: None),), params.train_config(name))
        assert state.optimizers[0].param_groups[0]["eps"] == eps
    assert parse_params(values).train_config("vae").eps == 1e-8


def test_the_digest_follows_every_value(values):
    params = parse_params(values)
    assert params.digest() == parse_params(values).digest()
    assert params.digest() != params.with_overrides({"evaluate.seed": 5}).digest()


def test_numbers_in_scientific_form_are_numbers(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("lr: 1e-3\n")
    assert read_yaml(path) == {"lr": 0.001}


@pytest.mark.parametrize("preset", sorted((ROOT / "presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_preset_is_valid(values, preset):
    parse_params(merge(values, read_yaml(preset)))


@pytest.mark.parametrize("preset", sorted((ROOT / "presets").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_preset_of_other_data_divides_them_as_their_number_asks(values, preset):
    """The kind of fault: 30 % of MNIST, which the default set of 5,000 images keeps aside, would be 21,000 images."""
    changes = read_yaml(preset)
    assert "data" not in changes or parse_params(merge(values, changes)).data.valid is None
