"""Thirty damaged folders of prepared data: reading one is refused with one line, or gives the same data."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faults.interrupted_training import run_module, start_project
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
from safetensors.torch import load_file, save_file

from genlib.data.dataset import DOMAIN_B_KEY, content_hash, load_dataset
from genlib.errors import run_cli
from genlib.files import CHECKSUM_KEY, with_checksum

TRAIN, TEST, INFO = "train.safetensors", "test.safetensors", "dataset.json"
COUNTS = {"train": 1079, "valid": 359, "test": 359}


def read_all(folder: Path) -> list[Any]:
    """All that a stage reads from prepared data."""
    dataset = load_dataset(folder)
    found = []
    for domain in filter(None, (dataset, dataset.domain_b)):
        parts = {"train": domain.train, "valid": domain.valid, "test": domain.test}
        found += [content_hash(parts), domain.sha256, domain.classes, domain.shape, domain.name]
    return found


def damage_file(name: str, damage: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: damage(folder / name)


def edit_tensors(name: str, *, drop_hashes: bool = False, **changes: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Change tensors of a split; `drop_hashes`: the folder is as before there were hashes of the splits."""

    def damage(folder: Path) -> None:
        tensors = load_file(folder / name)
        for key, change in changes.items():
            tensors[key] = change(tensors[key]).contiguous()
        save_file(tensors, folder / name)
        if drop_hashes:
            edit_info(drop_checksum=True, parts=None)(folder)

    return damage


def edit_info(drop_checksum: bool = False, **changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / INFO, drop_checksum, **changes)


def swap_valid_and_test(folder: Path) -> None:
    """Exchange two splits of the same shape."""
    (folder / "valid.safetensors").rename(folder / "x")
    (folder / "test.safetensors").rename(folder / "valid.safetensors")
    (folder / "x").rename(folder / "test.safetensors")


def copy_domain_a(folder: Path) -> None:
    """Put the first domain in the place of the second, with a dataset.json that fits it."""
    domain_b = folder / DOMAIN_B_KEY
    shutil.rmtree(domain_b)
    domain_b.mkdir()
    for path in folder.glob("*.safetensors"):
        shutil.copy(path, domain_b)
    info = json.loads((folder / INFO).read_text())
    own = {key: value for key, value in info.items() if key not in (CHECKSUM_KEY, DOMAIN_B_KEY)}
    (domain_b / INFO).write_text(json.dumps(with_checksum(own)))


def set_label(labels: torch.Tensor, value: int) -> torch.Tensor:
    labels[3] = value
    return labels


MUTATIONS = [
    *(Mutation(f"train: {name}", damage_file(TRAIN, damage)) for name, damage in FILE_DAMAGE.items()),
    *(
        Mutation(f"description: {name}", damage_file(INFO, FILE_DAMAGE[name]))
        for name in ("empty", "cut in half", "a bit in the middle")
    ),
    Mutation("pixels of floats", edit_tensors(TRAIN, pixels=lambda x: x.float())),
    Mutation("pixels without channels", edit_tensors(TRAIN, pixels=lambda x: x[:, 0])),
    Mutation("labels of another class", edit_tensors(TEST, labels=lambda y: set_label(y, (int(y[3]) + 1) % 10))),
    Mutation(
        "a label beyond the classes, without hashes",
        edit_tensors(TEST, drop_hashes=True, labels=lambda y: set_label(y, 10)),
    ),
    Mutation("labels of floats, without hashes", edit_tensors(TEST, drop_hashes=True, labels=lambda y: y.double())),
    Mutation("a label too few, without hashes", edit_tensors(TEST, drop_hashes=True, labels=lambda y: y[1:])),
    Mutation("other counts", edit_info(counts=COUNTS | {"train": 1078})),
    Mutation("other counts, without a checksum", edit_info(drop_checksum=True, counts=COUNTS | {"train": 1078})),
    Mutation("another hash", edit_info(sha256="0" * 64)),
    Mutation("two classes exchanged", edit_info(classes=list("1023456789"))),
    Mutation("a later version", edit_info(drop_checksum=True, version=2)),
    Mutation("valid and test exchanged", swap_valid_and_test),
    Mutation("no second domain", lambda folder: shutil.rmtree(folder / DOMAIN_B_KEY)),
    Mutation("another second domain", copy_domain_a),
    Mutation("as before there were checksums", edit_info(drop_checksum=True, version=None, parts=None), SAME),
]


@pytest.fixture(scope="module")
def prepared_data(training):
    return training.data, read_all(training.data)


@parametrize(MUTATIONS)
def test_bad_data(mutation, prepared_data, tmp_path, capsys):
    template, expected = prepared_data
    shutil.copytree(template, tmp_path / "data")
    mutation.damage(tmp_path / "data")
    found = []
    code = run_cli(lambda: found.extend(read_all(tmp_path / "data")))
    stderr = capsys.readouterr().err
    if mutation.expected == REFUSED:
        require_refusal(code, stderr, re.escape(str(tmp_path / "data")))
    else:
        assert (code, stderr, found) == (0, "", expected)


def test_training_on_damaged_data_exits_with_2(training, tmp_path):
    start_project(tmp_path, training.data)
    flip_bit(tmp_path / "data/prepared/valid.safetensors", 0.5)
    done = run_module(tmp_path, "pipelines.train", "vae")
    require_refusal(done.returncode, done.stderr, "data/prepared/valid.safetensors: got other images than the hash")
