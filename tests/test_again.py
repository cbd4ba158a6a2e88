"""The command on the page is one that makes the same params from those of the commit, or none at all."""

import json
import shlex
import subprocess

import pytest

from genlib.params import merge, parse_yaml, read_yaml
from pipelines.check import _load_preset, _parse_assignments
from pipelines.repro_command import repro_command

PARAMS = """
train: {seed: 0, ema: 0.999}
models:
  gan:
    train: {lr_g: 0.001}
    search: {train.lr_g: {loguniform: [0.1, 1.0]}}
  vae: {train: {images: 100}}
evaluate: {metrics: [kid, frechet]}
"""
SMOKE = "train: {ema: 0.9}\nmodels: {vae: {train: {images: 10}}}\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets/smoke.yaml").write_text(SMOKE)
    (tmp_path / "params.yaml").write_text(PARAMS)
    for words in ("init -q", "add .", "-c user.name=a -c user.email=a@b commit -qm one"):
        subprocess.run(["git", "-C", str(tmp_path), *words.split()], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ("{}", "make repro"),
        (SMOKE, "make repro PRESET=smoke"),
        ("train: {seed: 3}", 'make repro SET="train.seed=3"'),
        ("models: {vae: null}", 'make repro SET="models.vae=null"'),
        ("evaluate: {metrics: [kid, ndb]}", None),
        (
            "train: {ema: 0.9, seed: 2}\nmodels: {vae: {train: {images: 10}}}",
            'make repro PRESET=smoke SET="train.seed=2"',
        ),
        ("models: {gan: {search: {train.lr_g: {uniform: [0, 1]}}}}", "make repro"),
        ("data: {name: a folder}", "make repro"),
    ],
)
def test_the_command_gives_the_params(project, changes, expected):
    wanted = merge(parse_yaml(PARAMS, ""), parse_yaml(changes, ""))
    (project / "params.yaml").write_text(json.dumps(wanted))
    found = repro_command(project)
    if expected is None:
        given = dict(word.partition("=")[::2] for word in shlex.split(found)[2:])
        laid = merge(
            merge(parse_yaml(PARAMS, ""), _load_preset(given.get("PRESET"))), _parse_assignments(given["SET"].split())
        )
        assert laid == read_yaml(project / "params.yaml")
    else:
        assert found == expected


def test_without_git_there_is_nothing_to_compare_with(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS)
    assert repro_command(tmp_path) == "make repro"
