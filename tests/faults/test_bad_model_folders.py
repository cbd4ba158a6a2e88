"""Thirty damaged model folders: `genlib.load` refuses one with one line, or the model draws the same images."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from faults.interrupted_training import run_module
from faults.mutations import (
    FILE_DAMAGE,
    REFUSED,
    SAME,
    Mutation,
    edit_json,
    flip_bit,
    parametrize,
    require_refusal,
)

import genlib
from genlib.errors import run_cli

WEIGHTS, CONFIG = "model.safetensors", "config.json"
Damage = Callable[[Path, Path], object]  # of a model folder, with another one at hand


def sample_images(folder: Path) -> torch.Tensor:
    return genlib.load(folder).sample(4, seed=0)


def damage_file(name: str, damage: Callable[[Path], object]) -> Damage:
    return lambda folder, other: damage(folder / name)


def edit_config(drop_checksum: bool = False, **changes: Any) -> Damage:
    return damage_file("config.json", lambda path: edit_json(path, drop_checksum, **changes))


def replace_file(name: str) -> Damage:
    """Put the file of the other model in its place."""
    return lambda folder, other: shutil.copy(other / name, folder / name)


def indent(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7, sort_keys=True))


def write_nested_lists(path: Path) -> None:
    path.write_text("[" * 200_000)


MUTATIONS = [
    *(Mutation(f"weights: {name}", damage_file(WEIGHTS, damage)) for name, damage in FILE_DAMAGE.items()),
    *(
        Mutation(f"config: {name}", damage_file(CONFIG, FILE_DAMAGE[name]))
        for name in ("empty", "cut in half", "a bit in the middle", "zeros")
    ),
    Mutation("weights of another model", replace_file(WEIGHTS)),
    Mutation("config of another model", replace_file(CONFIG)),
    Mutation(
        "raw weights instead of averaged ones",
        lambda folder, _: shutil.copy(folder / "raw.safetensors", folder / WEIGHTS),
    ),
    Mutation("no weights", damage_file(WEIGHTS, Path.unlink)),
    Mutation("no config", damage_file(CONFIG, Path.unlink)),
    Mutation("a later version", edit_config(drop_checksum=True, version=2)),
    Mutation("another shape", edit_config(shape=[1, 16, 16])),
    Mutation("an unknown model, without a checksum", edit_config(drop_checksum=True, model={"name": "vaee"})),
    Mutation("a shape that is a word, without a checksum", edit_config(drop_checksum=True, shape="1x8x8")),
    Mutation("no model, without a checksum", edit_config(drop_checksum=True, model=None)),
    Mutation("lists in each other", damage_file(CONFIG, write_nested_lists)),
    Mutation("config in another layout", damage_file(CONFIG, indent), SAME),
    Mutation("as before there were checksums", edit_config(drop_checksum=True, version=None, model_sha256=None), SAME),
    Mutation(
        "no raw weights and no history",
        lambda folder, _: [(folder / name).unlink() for name in ("raw.safetensors", "history.tsv")],
        SAME,
    ),
]


@parametrize(MUTATIONS)
def test_bad_model_folders(mutation, training, tmp_path, capsys):
    shutil.copytree(training.model_folder, tmp_path / "model")
    mutation.damage(tmp_path / "model", training.other_model_folder)
    images = []
    code = run_cli(lambda: images.append(sample_images(tmp_path / "model")))
    stderr = capsys.readouterr().err
    if mutation.expected == REFUSED:
        require_refusal(code, stderr, re.escape(str(tmp_path / "model")))
    else:
        assert (code, stderr) == (0, "")
        assert torch.equal(images[0], sample_images(training.model_folder))


def test_exploring_damaged_weights_exits_with_2(training, tmp_path):
    shutil.copytree(training.model_folder, tmp_path / "model")
    flip_bit(tmp_path / "model" / WEIGHTS, 0.5)
    done = run_module(tmp_path, "genlib", "explore", "model", "--data", str(training.data))
    require_refusal(done.returncode, done.stderr, "model/model.safetensors: got other weights than config.json says")
