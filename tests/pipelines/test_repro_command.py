"""The command on the page, given to the params of the checkout, lays the params that the results were made with."""

import shlex
from pathlib import Path

import pytest

from genlib.params import merge, parse_yaml
from pipelines.params_file import lay_params, load_preset, parse_assignments, update_params_file
from pipelines.repro_command import record_command, repro_command

PARAMS = """
train: {seed: 0, ema: 0.999}
models:
  gan:
    train: {lr_g: 0.001}
    search_space: {train.lr_g: {loguniform: [0.1, 1.0]}}
  vae: {train: {total_images: 100}}
evaluate: {metrics: [kid, frechet]}
"""
PRESETS = {"smoke": "train: {ema: 0.9}\nmodels: {vae: {train: {total_images: 10}}}\n", "long": "train: {ema: 0.99}\n"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    (tmp_path / "presets").mkdir()
    for name, text in PRESETS.items():
        (tmp_path / f"presets/{name}.yaml").write_text(text)
    (tmp_path / "params.yaml").write_text(PARAMS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lay(data, preset, assignments):
    """What `pipelines.check` does with params.yaml, without looking at the data: DATA lays all values anew."""
    before = Path("params.yaml").read_bytes()
    values = parse_yaml(before.decode(), "params.yaml")
    base = merge(parse_yaml(PARAMS, ""), {"data": {"root": data}}) if data else values
    wanted = lay_params(base, load_preset(preset), parse_assignments(assignments))
    if wanted != values:
        update_params_file(wanted)
        record_command(Path(), before, preset, assignments, data)


def words_of(command):
    """The DATA, PRESET and SET that a shell hands to make."""
    given = dict(word.split("=", 1) for word in shlex.split(command)[2:])
    return given.get("DATA"), given.get("PRESET"), given.get("SET", "").split()


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([], "make repro"),
        ([(None, "smoke", [])], "make repro PRESET=smoke"),
        ([(None, "smoke", []), (None, "smoke", []), (None, None, [])], "make repro PRESET=smoke"),
        ([(None, None, ["train.seed=3"])], 'make repro SET="train.seed=3"'),
        ([(None, None, ["models.vae=null"])], 'make repro SET="models.vae=null"'),
        ([(None, None, ["evaluate.metrics=[kid,ndb]"])], 'make repro SET="evaluate.metrics=[kid,ndb]"'),
        ([(None, "smoke", ["train.seed=2"])], 'make repro PRESET=smoke SET="train.seed=2"'),
        ([(None, "smoke", []), (None, None, ["train.seed=2"])], 'make repro PRESET=smoke SET="train.seed=2"'),
        (
            [(None, None, ["train.seed=2"]), (None, "long", [])],
            'make repro SET="train.seed=2" && make repro PRESET=long',
        ),
        ([("my photos", None, [])], "make repro DATA='my photos'"),
        ([("a", "smoke", []), (None, None, ["train.seed=2"])], 'make repro DATA=a PRESET=smoke SET="train.seed=2"'),
        ([("a", None, []), ("it's", None, [])], """make repro DATA=a && make repro DATA='it'"'"'s'"""),
    ],
)
def test_the_command_lays_the_params(project, calls, expected):
    for call in calls:
        lay(*call)
    command, made = repro_command(project), Path("params.yaml").read_text()
    assert command == expected
    (project / "params.yaml").write_text(PARAMS)
    for each in command.split(" && "):
        lay(*words_of(each))
    assert parse_yaml(Path("params.yaml").read_text(), "") == parse_yaml(made, "")


def test_params_edited_by_hand_or_checked_out_again_forget_the_command(project):
    lay(None, "smoke", [])
    (project / "params.yaml").write_text(PARAMS.replace("seed: 0", "seed: 4"))
    assert repro_command(project) == "make repro"
    lay(None, "long", [])
    assert repro_command(project) == "make repro PRESET=long"


def test_secrets_of_an_address_are_not_noted(project):
    lay("s3://user:s3cr3t@host/images", None, [])
    assert "s3cr3t" not in repro_command(project) and "DATA=" in repro_command(project)
    assert "s3cr3t" not in (project / ".genlib/command.json").read_text()
