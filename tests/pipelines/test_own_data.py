"""`make repro DATA=path` on folders of all kinds: what is laid, what is left out, what is refused."""

import io
import os
import shutil
from itertools import product
from math import prod
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genlib.errors import InputError, InputErrors
from genlib.params import load_params, parse_params, read_yaml
from pipelines.check import check
from pipelines.own_data import OwnData
from pipelines.params_file import lay_preset, load_preset, update_params_file

ROOT = Path(__file__).parents[2]
PER_CLASS = 6


def encode(seed, shape):
    stored = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(stored, "PNG")
    return stored.getvalue()


def fill(folder, shape, count=PER_CLASS, seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        (folder / f"{index}.png").write_bytes(encode(seed + index, shape))


def write_shards(folder, shape, labelled):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    for part, count in (("train", 12), ("test", 8)):
        table = {"image": [{"bytes": encode(index, shape), "path": None} for index in range(count)]}
        if labelled:
            table["label"] = [index % 2 for index in range(count)]
        pq.write_table(pa.table(table), folder / f"{part}-0.parquet")


COLOR, LARGE, GRAY, LARGE_GRAY = (40, 36, 3), (90, 70, 3), (28, 28), (80, 72)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of one's own: flat or by class, grey or colour, small or large, files or shards, one domain or two."""
    root = tmp_path_factory.mktemp("my own")
    for label in ("a", "b"):
        fill(root / "by class" / label, COLOR)
        fill(root / "gray" / label, GRAY)
        fill(root / "split" / "train" / label, LARGE)
        fill(root / "split" / "test" / label, LARGE)
    fill(root / "flat", LARGE, 12)
    fill(root / "large gray", LARGE_GRAY, 12)
    for name in ("trainA", "trainB"):
        fill(root / "pair" / name, COLOR, 12)
        fill(root / "mixed" / name, COLOR if name == "trainA" else GRAY, 12)
    write_shards(root / "shards" / "data", COLOR, labelled=True)
    write_shards(root / "unlabelled shards", COLOR, labelled=False)
    return root


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The project's params and presets, as the working directory; operations are not counted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("pipelines.budgets.flops_per_image", lambda job, *data: 1e8)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    return tmp_path


LABELLED, PAIRED = {"cvae", "cgan"}, {"cyclegan"}
FOUND = {  # the source, the split, a second domain, what is left out, the preset
    "by class": ("folder", "pooled", None, PAIRED, "photos64-small"),
    "gray": ("folder", "pooled", None, PAIRED, "gray32-small"),
    "split": ("folder", "official", None, PAIRED, "photos64-small"),
    "flat": ("folder", "pooled", None, LABELLED | PAIRED, "photos64-small"),
    "large gray": ("folder", "pooled", None, LABELLED | PAIRED, "photos64-small"),
    "pair": ("folder_a", "pooled", "folder_b", LABELLED, "photos64-small"),
    "mixed": ("folder_a", "pooled", None, LABELLED | PAIRED, "photos64-small"),
    "shards": ("parquet", "official", None, PAIRED, "photos64-small"),
    "unlabelled shards": ("parquet", "official", None, LABELLED | PAIRED, "photos64-small"),
}


@pytest.mark.parametrize("name", FOUND)
def test_any_folder_is_laid_by_its_path_alone(project, folders, name, capsys):
    source, split, domain_b, left_out, preset = FOUND[name]
    check(None, [], data=str(folders / name))
    params, printed = load_params(), capsys.readouterr().out
    assert (params.data.name, params.data.root, params.data.split) == (source, str(folders / name), split)
    assert (params.data.domain_b and params.data.domain_b.name) == domain_b
    assert set(params.models) == set(load_preset(preset)["models"]) - left_out
    assert params.models["gan"].model == load_preset(preset)["models"]["gan"]["model"]
    for lacking, models in {"no labels": LABELLED, "one domain": PAIRED}.items():
        lines = [line for line in printed.splitlines() if line.startswith("left out: ") and lacking in line]
        assert len(lines) == (not models.isdisjoint(left_out)), printed
        assert all(model in line for line in lines for model in models & left_out)
    assert params.tune.models == ["gan"] and "make repro" not in printed


@pytest.mark.parametrize(("before", "after"), [*product(["flat", "pair"], ["by class", "gray"])])
def test_the_params_of_one_data_set_leave_nothing_to_the_next(project, folders, before, after):
    check(None, [], data=str(folders / after))
    expected, order = load_params(), [*load_params().models]
    shutil.copy(ROOT / "params.yaml", project)
    check(None, ["models.gan.model.pack=2", "tune.models=[]"], data=str(folders / before))
    check(None, [], data=str(folders / after))
    assert load_params() == expected and [*load_params().models] == order
    written = (project / "params.yaml").read_bytes()
    check(None, [], data=str(folders / after))
    check(None, [])
    assert (project / "params.yaml").read_bytes() == written


def test_a_model_of_ones_own_stays(project, folders):
    values = read_yaml(project / "params.yaml")
    kept = lay_preset(values, {"models": {"mine": values["models"]["vae"]}})
    laid = OwnData.find(str(folders / "flat")).lay(kept, {}, {})
    assert laid["models"]["mine"] == values["models"]["vae"]
    assert laid["models"]["vae"] == load_preset("photos64-small")["models"]["vae"]


def test_preset_and_values_say_otherwise(project, folders):
    data = str(folders / "by class")
    check(None, [], data=data)
    alone = load_params()
    check("smoke", ["models.gan.train.total_images=777", "data.seed=3", "data.split=pooled"], data=data)
    params, smoke = load_params(), load_preset("smoke")
    assert params.data.root == data and params.data.seed == 3
    for name in params.models:
        expected = 777 if name == "gan" else smoke["models"][name]["train"]["total_images"]
        assert params.train_config(name).total_images == expected
        assert params.train_config(name).report_every == smoke["train"]["report_every"]
    assert params.tune.images_per_trial == smoke["tune"]["images_per_trial"]
    check(None, ["models.gan.train.total_images=1000000"], data=data)
    others = [name for name in alone.models if name != "gan"]
    assert [load_params().train_config(name) for name in others] == [alone.train_config(name) for name in others]


def test_a_preset_for_small_images_lets_models_see_fewer_large_ones(project, folders, capsys, monkeypatch):
    monkeypatch.setattr("pipelines.budgets.flops_per_image", lambda job, shape, *data: 1e4 * prod(shape))
    data = str(folders / "by class")
    check("smoke", ["data.image_size=128", "models.gan.train.total_images=777"], data=data)
    params, smoke = load_params(), load_preset("smoke")
    fewer = {name: params.train_config(name).total_images for name in params.models}
    assert fewer.pop("gan") == 777 and set(fewer.values()) == {8000 // 4}
    assert params.tune.images_per_trial == smoke["tune"]["images_per_trial"] // 4
    assert params.train.report_every == smoke["train"]["report_every"] // 4
    assert "of larger ones models see fewer" in capsys.readouterr().out
    check("photos128-small", ["data.image_size=256"], data=data)
    total_images = load_preset("photos128-small")["models"]["gan"]["train"]["total_images"]
    assert load_params().train_config("gan").total_images == total_images


def test_a_tuned_model_that_is_left_out_is_not_tuned(project, folders):
    space = "models.cvae.search_space={train.lr: {loguniform: [0.001, 0.01]}}"
    check(None, ["tune.models=[vae, cvae]", space], data=str(folders / "flat"))
    assert load_params().tune.models == ["vae"] and "cvae" not in load_params().models


def test_all_refusals_come_at_once_and_nothing_is_touched(project, folders):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    wrong = ["evaluate.metrics=[kidd]", "tune.metric=fidd", "models.gan.model.widht=3", "models.vae.model.latent=0"]
    with pytest.raises(InputErrors) as raised:
        check(None, wrong, data=str(folders / "flat"))
    lines = [str(error) for error in raised.value.errors]
    for found in ("'kidd'", "'fidd'", "widht", "latent: got 0"):
        assert sum(found in line for line in lines) == 1, lines
    with pytest.raises(InputErrors) as raised:
        check(None, ["train.lr=0", "tune.trials=0"], data="nowhere")
    lines = [str(error) for error in raised.value.errors]
    for found in ("train.lr", "tune.trials", "data.root: got no folder nowhere"):
        assert sum(found in line for line in lines) == 1, lines
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


NAMES = ["my photos", "été", "'q' \"q\"", "a: b #c", "{x}", "10", "null", "- x", "$HOME", "a\tb", "./a/", "x/../y"]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_of_any_name_is_written_as_given(project, name):
    values = OwnData.find(name).lay(read_yaml(project / "params.yaml"), {}, {})
    update_params_file(values)
    assert load_params().data.root == name


def test_a_home_folder_is_expanded(project, folders, monkeypatch):
    monkeypatch.setenv("HOME", str(folders))
    check(None, [], data="~/flat")
    assert load_params().data.root == str(folders / "flat")


def test_a_name_that_params_cannot_hold_is_one_line(project, folders):
    shutil.copytree(folders / "flat", os.fsdecode(b"gar\xe7on"))
    with pytest.raises(InputError, match=r"^DATA: got gar.xe7on, expected a path in UTF-8"):
        check(None, [], data=os.fsdecode(b"gar\xe7on"))


@pytest.mark.parametrize("data", ["nowhere", "params.yaml", "presets", "nosuch://bucket/x", ".", "/dev/null"])
def test_what_is_no_folder_of_images_is_one_line(project, data):
    before = (project / "params.yaml").read_bytes()
    with pytest.raises(InputError, match="got "):
        check(None, [], data=data)
    assert (project / "params.yaml").read_bytes() == before


def test_a_likelihood_of_black_and_white_meets_colour(project, folders, capsys):
    check(None, ["models.vae.model.pixel_likelihood=binarized"], data=str(folders / "by class"))
    printed = capsys.readouterr().out
    assert printed.count("models.vae.model.pixel_likelihood: got binarized on colour images") == 1
    check(None, ["models.vae.model.pixel_likelihood=binarized"], data=str(folders / "gray"))
    assert "pixel_likelihood: got" not in capsys.readouterr().out


PARTIAL = {"digits", "mnist", "mnist_usps", "pbt_dcgan_mnist", "smoke"}
COMPLETE = sorted({path.stem for path in (ROOT / "presets").glob("*.yaml")} - PARTIAL)


@pytest.mark.parametrize(("first", "second"), [*product(COMPLETE, COMPLETE)])
def test_a_complete_preset_leaves_nothing_of_another(project, first, second):
    """But for the place of the images, which DATA gives."""
    values = read_yaml(project / "params.yaml")
    one, both = (
        lay_preset(values, load_preset(second)),
        lay_preset(lay_preset(values, load_preset(first)), load_preset(second)),
    )
    assert parse_params({**both, "data": one["data"]}) == parse_params(one)
