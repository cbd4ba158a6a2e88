"""Names of 0.1: old keys and values of params.yaml are refused with the new ones, old model folders load."""

from pathlib import Path

import pytest
import torch

import genlib
from genlib.errors import InputError
from genlib.migration import FORMER_DEFAULTS, RENAMED_KEYS, RENAMED_VALUES, upgrade_config
from genlib.params import expand_dotted, load_params, merge, parse_params
from genlib.registry import default_options, read_model_config
from genlib.runs import read_model_results

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "tests/fixtures/run_0_1"  # made by genlib 0.1
MODEL_SECTIONS = ("model", "objective", "search", "search_space")


def in_params(key):
    """The dotted key in params.yaml of a key in the table."""
    return f"models.vae.{key}" if key.partition(".")[0] in MODEL_SECTIONS else key


def refusal(key, value):
    with pytest.raises(InputError) as error:
        parse_params(merge(load_params(ROOT / "params.yaml").model_dump(), expand_dotted({key: value})))
    return str(error.value)


@pytest.mark.parametrize(("old", "new"), RENAMED_KEYS.items())
def test_an_old_key_is_refused_with_the_new_one(old, new):
    assert refusal(in_params(old), 1) == f"params.yaml: {in_params(old)}: got an old key, expected {in_params(new)}"


@pytest.mark.parametrize(
    ("key", "old", "new"), [(key, old, new) for key, values in RENAMED_VALUES.items() for old, new in values.items()]
)
def test_an_old_value_is_refused_with_the_new_one(key, old, new):
    assert refusal(in_params(key), old) == f"params.yaml: {in_params(key)}: got the old name {old!r}, expected {new}"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("models.gan.train.images", 1, "models.gan.train.total_images"),
        ("models.vae.model.observation", "bernoulli", "models.vae.model.pixel_likelihood: binarized"),
        ("models.vae.model.observation", "gaussian", "models.vae.model.pixel_likelihood"),
        ("cluster.storage", "gs://bucket", "ray.storage_path"),
    ],
)
def test_the_new_place_and_value_are_named(key, value, expected):
    assert refusal(key, value) == f"params.yaml: {key}: got an old key, expected {expected}"


def test_an_old_key_in_a_search_space_is_refused():
    values = load_params(ROOT / "params.yaml").model_dump()
    values["models"]["gan"]["search_space"] = {"objective.d_turns": {"choice": [1, 2]}}
    with pytest.raises(InputError, match=r"search_space\.objective\.d_steps_per_g_step$"):
        parse_params(values)


def test_a_new_name_is_not_taken_for_an_old_one():
    for key, values in RENAMED_VALUES.items():
        assert not set(values) & set(values.values()), key
    assert not set(RENAMED_KEYS) & set(RENAMED_KEYS.values())


def test_the_config_of_an_old_folder_has_the_current_names():
    gan, vae = read_model_config(FIXTURES / "gan"), read_model_config(FIXTURES / "vae")
    assert gan["train"]["total_images"] == 64 and gan["train"]["decay_start"] == 0.5
    assert gan["train"]["warmup_fraction"] == 0.1 and gan["train"]["lr_by_phase"] == {"g": 0.0015, "d": 0.001}
    assert gan["objective"].keys() >= {"lazy_reg_interval", "d_steps_per_g_step", "noise_anneal_images"}
    assert vae["model"]["pixel_likelihood"] == "binarized"
    assert read_model_config(FIXTURES / "classifier")["model"]["name"] == "cnn_classifier"


def test_options_that_an_old_folder_leaves_out_are_as_they_were():
    def of(model):
        return upgrade_config({"model": model})["model"]

    assert of({"name": "vae"}) == {
        "name": "vae", "pixel_likelihood": "gray_bce", "variance": "pixel", "max_channel_mult": 4,
    }  # fmt: skip
    assert of({"name": "iwae", "layers": 2})["pixel_likelihood"] == "binarized"
    assert of({"name": "cyclegan"})["blocks"] == 2 and of({"name": "cyclegan", "blocks": None})["blocks"] is None
    assert of({"name": "gan", "max_channel_mult": 2})["max_channel_mult"] == 2
    assert of({"name": "mine"}) == {"name": "mine"}


@pytest.mark.parametrize("name", FORMER_DEFAULTS)
def test_former_defaults_are_options_of_today(name):
    assert FORMER_DEFAULTS[name].keys() <= default_options("models", name).keys()


@pytest.mark.parametrize(("name", "total"), [("vae", 11.713085651397705), ("gan", 25.674364526057616)])
def test_an_old_generator_gives_the_same_samples(name, total):
    images = genlib.load(FIXTURES / name).sample(2, seed=0)
    assert images.double().sum().item() == pytest.approx(total, abs=1e-4)  # as 0.1 gave them


def test_an_old_classifier_gives_the_same_logits():
    logits = genlib.load(FIXTURES / "classifier")(torch.linspace(-1, 1, 64).view(1, 1, 8, 8))
    assert logits.double().sum().item() == pytest.approx(0.020371466234792024, abs=1e-5)


def test_the_report_reads_an_old_folder(tmp_path):
    (tmp_path / "train").symlink_to(FIXTURES)
    results = read_model_results(tmp_path, "gan", with_tuning=False)
    assert results.config["train"]["total_images"] == 64
    assert results.history["images_seen"][-1] == 64
