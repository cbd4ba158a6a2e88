"""Bad input ends with one line that names the key or file, exit code 2, and nothing touched."""

import json
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import nn

from genlib.errors import InputError
from genlib.objectives.common.phases import Objective, Phase, StepLosses
from genlib.params import load_params, read_yaml
from pipelines.check import check

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the project's params, presets and an image folder, as the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "presets", tmp_path / "presets")
    for label in ("a", "b"):
        for index in range(6):
            picture(tmp_path / "pictures" / "train" / label / f"{index}.png", seed=index)
    for index in range(12):
        picture(tmp_path / "flat" / f"{index}.png", seed=index)
        picture(tmp_path / "red" / f"{index}.png", seed=index, shape=(12, 10, 3))
    return tmp_path


def picture(path, seed=0, shape=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def folder(root="pictures", **more):
    return [f"{key}={value}" for key, value in {"data.name": "folder", "data.root": root, **more}.items()]


class Labelled(nn.Module):
    """A model that is told the class."""

    conditional = True

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        if not classes:
            raise ValueError("needs labels, and the data have none")
        super().__init__()
        self.net = nn.Conv2d(shape[0], classes, 1)


class Plain(nn.Module):
    """A model that takes anything, and `judge: true` only with labels."""

    def __init__(self, shape: tuple[int, int, int], classes: int, *, judge: bool = False) -> None:
        if judge and not classes:
            raise ValueError("judge needs labels, and the data have none")
        super().__init__()
        self.net = nn.Conv2d(shape[0], 1, 1)
        built.append((shape, classes))


class Alone(Objective):
    def phases(self, model: nn.Module) -> tuple[Phase, ...]:
        return (Phase("it", model, lambda batch: StepLosses(batch.x.mean((1, 2, 3)))),)


class Pair(Alone):
    domains = "pair"


STUBS = {"models": {"labelled": Labelled, "plain": Plain}, "objectives": {"alone": Alone, "pair": Pair}}
built: list[tuple[tuple[int, int, int], int]] = []


@pytest.fixture
def stubs(project, monkeypatch):
    """The project with models of the stubs only, as files of their packages would be: one needs labels, one a pair."""
    for package, builders in STUBS.items():
        for name, builder in builders.items():
            module = types.ModuleType(f"genlib.{package}.{name}")
            module.Build = builder
            monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("genlib.registry.list_available", lambda package: sorted(STUBS[package]))
    built.clear()
    values = read_yaml(project / "params.yaml")
    values["models"] = {
        "plain": {"model": {"name": "plain"}, "objective": {"name": "alone"}},
        "cvae": {"model": {"name": "labelled"}, "objective": {"name": "alone"}},
        "cyclegan": {"model": {"name": "plain"}, "objective": {"name": "pair"}},
        "cgan": {"model": {"name": "labelled"}, "objective": {"name": "alone"}},
    }
    values["tune"]["models"] = []
    values["data"].pop("domain_b", None)
    (project / "params.yaml").write_text(json.dumps(values))
    return project


PRINTED = "data.domain_b={name: printed_mnist}"
FLAT = folder("flat")

LACKING = {
    "a translator of one domain": (
        [],
        "models.cyclegan.objective: got one domain of images, expected two, named by data and data.domain_b, or params "
        'without cyclegan (SET="models.cyclegan=null")',
    ),
    "no labels": (
        [*FLAT, PRINTED],
        "models.cvae.model: needs labels, and the data have none, expected data with labels (for a pair of domains the "
        'same ones), or params without cvae, cgan (SET="models.cvae=null models.cgan=null")',
    ),
    "neither": (
        FLAT,
        "models.cvae.model: needs labels, and the data have none, expected data with labels (for a pair of domains the "
        "same ones), or params without cvae, cyclegan, cgan "
        '(SET="models.cvae=null models.cyclegan=null models.cgan=null")',
    ),
    "labels of one domain only": (
        ["data.domain_b={name: folder, root: flat}", "models.cyclegan.model.judge=true"],
        "models.cyclegan.model: judge needs labels",
    ),
    "labels of two kinds": (
        ["data.domain_b={name: folder, root: pictures}", "models.cyclegan.model.judge=true"],
        "models.cyclegan.model: judge needs labels",
    ),
    "what no data would mend": ([*FLAT, "models.plain.train.lr_x=1.0"], "models.plain.train.lr_x: got 'lr_x'"),
}


@pytest.mark.parametrize("case", LACKING)
def test_models_that_lack_data_are_named_with_the_way_out(stubs, case):
    changes, found = LACKING[case]
    before = {path: path.read_bytes() for path in stubs.rglob("*") if path.is_file()}
    with pytest.raises(InputError) as error:
        check(None, changes)
    assert str(error.value).startswith(found)
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in stubs.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("case", ["a translator of one domain", "no labels", "neither"])
def test_the_way_out_is_one(stubs, case):
    changes, found = LACKING[case]
    check(None, [*changes, *re.search(r'SET="(.*)"', found)[1].split()])
    kept = load_params().models
    assert "plain" in kept and len(kept) < 4
    check(None, [*changes, *re.search(r'SET="(.*)"', found)[1].split()])
    assert load_params().models == kept


def test_models_are_built_on_the_data_as_they_are(stubs):
    check(None, [PRINTED, "models.cyclegan.model.judge=true"])
    assert set(built) == {((1, 16, 16), 10)}
    built.clear()
    rid = ["models.cvae=null", "models.cgan=null", "models.cyclegan=null", "data.domain_b=null"]
    check(None, [*folder("red"), *rid, "data.image_size=24"])
    assert set(built) == {((3, 24, 24), 0)}


def test_a_folder_that_lost_its_labels_is_checked_again(stubs):
    check(None, [*folder(), PRINTED, "models.cyclegan=null"])
    check(None, [])
    shutil.rmtree(stubs / "pictures")
    shutil.copytree(stubs / "flat", stubs / "pictures")
    with pytest.raises(InputError, match="needs labels"):
        check(None, [])


WRONG = {
    "unknown section": (["dota.name=digits"], "dota: unknown key"),
    "unknown key": (["train.batchsize=3"], "did you mean batch_size"),
    "unknown data set": (["data.name=mnits"], "did you mean mnist"),
    "unknown model": (["models.gan.model.name=gann"], "models.gan.model.name: got 'gann' (did you mean gan?)"),
    "unknown objective": (["models.vae.objective.name=elbow"], "did you mean elbo"),
    "unknown option": (["models.gan.model.widht=3"], "models.gan.model.widht: unknown key"),
    "wrong type of option": (["models.gan.model.width=wide"], "got 'wide', expected a whole number"),
    "option out of range": (["models.gan.model.width=0"], "models.gan.model: width: got 0, expected at least 1"),
    "unknown loss": (["models.gan.objective.loss=wasser"], "models.gan.objective.loss: got 'wasser'"),
    "rate of no turn": (["models.vae.train.lr_g=0.1"], "models.vae.train.lr_g"),
    "rate out of range": (["models.gan.train.lr_g=-1"], "models.gan.train.lr_g: got -1"),
    "unknown metric": (["evaluate.metrics=[frecht]"], "did you mean"),
    "unknown sweep metric": (["tune.metric=kidd"], "tune.metric"),
    "sweep metric that is best in the middle": (["tune.metric=density"], "tune.metric"),
    "unknown second sweep metric": (["tune.second_metric=covrage"], "tune.second_metric: got 'covrage'"),
    "no trials": (["tune.trials=0"], "tune.trials: got 0, expected greater than or equal to 1"),
    "no time": (["tune.time_limit_minutes=0"], "tune.time_limit_minutes: got 0, expected greater than 0"),
    "unknown searcher": (["tune.searcher=bayes"], "tune.searcher: got 'bayes'"),
    "unknown limit": (
        ["tune.constraints={covrage: 0.3}"],
        "tune.constraints: got 'covrage' (did you mean",
    ),
    "an empty space": (["models.gan.search_space={}"], "tune.models: got 'gan'"),
    "a wrong distribution": (
        ["models.gan.search_space={train.lr_g: {gauss: [0, 1]}}"],
        "search_space.train.lr_g: got {'gauss'",
    ),
    "a choice that is wrong among right ones": (
        ["models.gan.search_space={objective.loss: {choice: [hinge, hing, hinge]}}"],
        "objective.loss: got 'hing'",
    ),
    "a ratio to nothing": (["models.gan.search_space={model.width_d/widht: {uniform: [0, 1]}}"], "model.widht: got"),
    "a ratio of nothing": (
        ["models.gan.search_space={model.widht_d/width: {uniform: [0, 1]}}"],
        "widht_d: unknown key",
    ),
    "a population with nothing to change": (
        ["tune.searcher=pbt", "models.gan.search_space={model.width_d: {int: [8, 16]}}"],
        "models.gan.search_space: got no uniform or loguniform hyperparameter of train or objective",
    ),
    "a population of workers": (["tune.searcher=pb2", "tune.resources.workers=2"], "tune.resources.workers: got 2"),
    "workers that would be stopped": (["tune.resources.workers=2"], "expected 0 with the searcher random, or"),
    "no CPU for a trial": (["tune.resources.cpu=0"], "tune.resources.cpu: got 0, expected greater than 0"),
    "knob of nothing": (["models.gan.search_space={objective.r9: {uniform: [0, 1]}}"], "objective.r9: unknown key"),
    "knob out of range": (
        ["models.gan.search_space={model.width: {int: [0, 3]}}"],
        "width: got 0, expected at least 1",
    ),
    "no root": (folder("nowhere"), "data.root"),
    "not an assignment": (["train.seed"], "SET"),
    "a value that is no YAML": (["train.lr=["], "SET: train.lr: not valid YAML"),
    "a value that is no number": (["train.lr=.nan"], "SET: train.lr: got nan, expected a finite number"),
    "more bits than a seed has": (["train.seed=4294967296"], "train.seed: got 4294967296, expected less than"),
    "a net that no machine holds": (["models.vae.model.width=100000"], "parameters, expected at most 2,147,483,648"),
    "turns without end": (
        ["models.gan.objective.d_steps_per_g_step=1000000"],
        "d_steps_per_g_step: got 1000000, expected at least 1 and below 101",
    ),
    "missing torchvision data": (["data.name=mnist", "data.image_size=null"], "data.root"),
    "official without a test set": (["data.split=official"], "data.split"),
    "unknown second domain": (["data.domain_b.name=usp"], "data.domain_b.name: got 'usp' (did you mean usps?)"),
    "unknown key of the second domain": (["data.domain_b={name: digits, size: 3}"], "data.domain_b.size: unknown key"),
    "second domain that is not there": (
        ["data.domain_b={name: usps}"],
        "data.domain_b.root: got no data/raw/usps.bz2",
    ),
    "root of the second domain": (["data.domain_b={name: folder, root: no}"], "data.domain_b.root: got no folder no"),
    "one folder of two domains": (folder("pictures", **{"data.name": "folder_a"}), "data.root: got no folder"),
    "other channels": (
        ["data.domain_b={name: folder, root: red}"],
        "data.domain_b: got folder with 3 channels, expected 1",
    ),
    "epsilon of nothing": (["train.eps=0"], "train.eps: got 0, expected greater than 0"),
    "no data": (["data=null"], "data: missing"),
    "no models": (["models=null", "tune.models=[]"], "models: missing"),
    "a tuned model left out": (["models.gan=null"], "tune"),
    "an option of nothing": (["models.gan.model.width=null"], "models.gan.model.width: got None"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_value_is_named_and_nothing_is_touched(project, case):
    changes, found = WRONG[case]
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    with pytest.raises(InputError) as error:
        check(None, changes)
    assert found in str(error.value)
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in project.rglob("*") if path.is_file()} == before


def empty(root):
    shutil.rmtree(root)
    (root / "train").mkdir(parents=True)


def one_image(root):
    empty(root)
    picture(root / "train" / "a" / "0.png")


def truncated(root):
    path = root / "train" / "a" / "3.png"
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(("spoil", "found"), [(empty, "data.root"), (one_image, "1 image"), (truncated, "3.png")])
def test_a_wrong_folder_is_named(project, spoil, found):
    spoil(project / "pictures")
    with pytest.raises(InputError, match=found):
        check(None, folder())


@pytest.mark.parametrize("address", ["htp://x", "http://", "http://host:port", "file:///tmp/x", "nonsense"])
def test_a_malformed_tracking_address_is_named(project, monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI: got"):
        check(None, [])


def test_an_unknown_preset_is_named(project):
    with pytest.raises(InputError, match=r"PRESET: got 'mnits' \(did you mean mnist\?\), expected .*smoke"):
        check("mnits", [])


def test_a_preset_and_values_are_written_with_the_comments_kept(project, capsys):
    check("smoke", ["train.seed=7"])
    assert load_params().train.seed == 7
    assert "# Every number a user may change" in (project / "params.yaml").read_text()
    assert "git checkout params.yaml" in capsys.readouterr().out
    written = (project / "params.yaml").read_bytes()
    check("smoke", ["train.seed=7"])
    assert (project / "params.yaml").read_bytes() == written


def test_a_section_is_taken_out_of_the_file_and_the_rest_kept(project):
    rid = ["models.gan=null", "tune.models=[]", "tune.constraints=null", PRINTED]
    check(None, rid)
    text = (project / "params.yaml").read_text()
    assert "gan" not in load_params().models and load_params().data.domain_b.name == "printed_mnist"
    kept = [line for line in (ROOT / "params.yaml").read_text().splitlines() if "#" in line and "null" in line]
    assert len(kept) > 3 and [line for line in kept if line not in text] == []
    check(None, rid)
    assert (project / "params.yaml").read_text() == text
    check(None, ["data.domain_b=null", "models.cyclegan=null"])
    assert load_params().data.domain_b is None and "domain_b" not in read_yaml(project / "params.yaml")["data"]


def test_a_legal_folder_passes_and_answers_files_are_made_once(project):
    check(None, folder())
    answers = project / "data/ratings/gan.csv"
    answers.write_text("kept\n")
    check(None, [])
    assert answers.read_text() == "kept\n"


@pytest.mark.parametrize("stage", ["check --set train.lr=0", "train nothing", "evaluate gan"])
def test_the_command_exits_with_2_and_one_line(project, stage):
    command = [sys.executable, "-m", *f"pipelines.{stage}".split()]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("genlib: ")
    assert done.stderr.count("\n") == 1


def test_a_model_that_is_not_tuned_is_named(project):
    with pytest.raises(InputError, match=r"^MODEL: got 'vae', expected gan$"):
        check(None, [], "vae")
    check(None, ["tune.models=[gan, vae]"], "vae")
