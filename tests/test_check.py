"""Bad input ends with one line that names the key or file, exit code 2, and nothing touched."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genlib.errors import InputError
from genlib.params import load_params
from pipelines.check import check

ROOT = Path(__file__).parent.parent


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
    return tmp_path


def picture(path, seed=0, shape=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def folder(root="pictures", **more):
    return [f"{key}={value}" for key, value in {"data.name": "folder", "data.root": root, **more}.items()]


WRONG = {
    "unknown section": (["dota.name=digits"], "dota: unknown key"),
    "unknown key": (["train.batchsize=3"], "did you mean batch_size"),
    "unknown data set": (["data.name=mnits"], "did you mean mnist"),
    "unknown model": (["models.gan.model.name=gann"], "models.gan.model.name: found 'gann' (did you mean gan?)"),
    "unknown objective": (["models.vae.objective.name=elbow"], "did you mean elbo"),
    "unknown option": (["models.gan.model.widht=3"], "models.gan.model.widht: unknown key"),
    "wrong type of option": (["models.gan.model.width=wide"], "found 'wide', legal: a whole number"),
    "option out of range": (["models.gan.model.width=0"], "models.gan.model: width must be at least 1, found 0"),
    "unknown loss": (["models.gan.objective.loss=wasser"], "models.gan.objective.loss: found 'wasser'"),
    "rate of no turn": (["models.vae.train.lr_g=0.1"], "models.vae.train.lr_g"),
    "rate out of range": (["models.gan.train.lr_g=-1"], "models.gan.train.lr_g: found -1"),
    "unknown metric": (["evaluate.metrics=[frecht]"], "did you mean"),
    "unknown sweep metric": (["tune.metric=fid"], "tune.metric"),
    "knob of nothing": (["models.gan.search={objective.r9: {uniform: [0, 1]}}"], "objective.r9: unknown key"),
    "knob out of range": (["models.gan.search={model.width: {int: [0, 3]}}"], "width must be at least 1"),
    "no root": (folder("nowhere"), "data.root"),
    "not an assignment": (["train.seed"], "SET"),
    "missing torchvision data": (["data.name=mnist", "data.image_size=null"], "data.root"),
    "official without a test set": (["data.split=official"], "data.split"),
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


def mixed(root):
    picture(root / "train" / "b" / "3.png", shape=(12, 10, 3))


@pytest.mark.parametrize(
    ("spoil", "found"), [(empty, "data.root"), (one_image, "1 image"), (truncated, "3.png"), (mixed, "3.png")]
)
def test_a_wrong_folder_is_named(project, spoil, found):
    spoil(project / "pictures")
    with pytest.raises(InputError, match=found):
        check(None, folder())


@pytest.mark.parametrize("address", ["htp://x", "http://", "http://host:port", "file:///tmp/x", "nonsense"])
def test_a_malformed_tracking_address_is_named(project, monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI: found"):
        check(None, [])


def test_an_unknown_preset_is_named(project):
    with pytest.raises(InputError, match=r"PRESET: found 'mnits' \(did you mean mnist\?\), legal: .*smoke"):
        check("mnits", [])


def test_a_preset_and_values_are_written_with_the_comments_kept(project, capsys):
    check("smoke", ["train.seed=7"])
    assert load_params().train.seed == 7
    assert "# Every number a user may change" in (project / "params.yaml").read_text()
    assert "git checkout params.yaml" in capsys.readouterr().out
    written = (project / "params.yaml").read_bytes()
    check("smoke", ["train.seed=7"])
    assert (project / "params.yaml").read_bytes() == written


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
