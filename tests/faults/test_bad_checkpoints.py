"""Forty folders of checkpoints with a damaged or a foreign file: training ends with the same bits, or refuses."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from faults.interrupted_training import (
    InterruptedTraining,
    finish_training,
    read_result,
    run_module,
    start_project,
)
from faults.mutations import FILE_DAMAGE, REFUSED, SAME, Mutation, flip_bit, parametrize, require_refusal
from safetensors import safe_open
from safetensors.torch import load_file, save

from genlib.errors import run_cli
from genlib.training.checkpoints import list_checkpoints

Damage = Callable[[Path, InterruptedTraining], list[Path]]  # returns the checkpoints that must be named


def damage_newest(damage: Callable[[Path], object]) -> Damage:
    def damage_folder(folder: Path, training: InterruptedTraining) -> list[Path]:
        last, _ = list_checkpoints(folder)
        damage(last)
        return [last]

    return damage_folder


def damage_both(damage: Callable[[Path], object]) -> Damage:
    def damage_folder(folder: Path, training: InterruptedTraining) -> list[Path]:
        found = list_checkpoints(folder)
        for path in found:
            damage(path)
        return found

    return damage_folder


def damage_previous(damage: Callable[[Path], object]) -> Damage:
    """Damage the one before the newest, which is not read."""

    def damage_folder(folder: Path, training: InterruptedTraining) -> list[Path]:
        damage(list_checkpoints(folder)[1])
        return []

    return damage_folder


def add_foreign(other: str, *, alone: bool) -> Damage:
    """Copy the newest checkpoint of another job beside those of this one or, if `alone`, in their place."""

    def damage_folder(folder: Path, training: InterruptedTraining) -> list[Path]:
        [theirs, *_], mine = list_checkpoints(training.other_checkpoints[other]), list_checkpoints(folder)
        for path in mine if alone else ():
            path.unlink()
        shutil.copy(theirs, folder)
        later = alone or theirs.name > mine[0].name
        return [folder / theirs.name] if later else []

    return damage_folder


def rename_to_finished(folder: Path, training: InterruptedTraining) -> list[Path]:
    """Give the newest the name of one that has seen all images."""
    last, _ = list_checkpoints(folder)
    renamed = folder / f"{96:012d}-{last.name.partition('-')[2]}"
    last.rename(renamed)
    return [renamed]


def swap_contents(folder: Path, training: InterruptedTraining) -> list[Path]:
    last, first = list_checkpoints(folder)
    content = last.read_bytes()
    last.write_bytes(first.read_bytes())
    first.write_bytes(content)
    return [last, first]


def rewrite_metadata(changes: object) -> Damage:
    """Give the newest other metadata, and the name of its content; a mapping changes single keys."""

    def damage_folder(folder: Path, training: InterruptedTraining) -> list[Path]:
        last, _ = list_checkpoints(folder)
        with safe_open(last, "pt") as file:
            metadata = json.loads(file.metadata()["genlib"])
        text = json.dumps(metadata | changes) if isinstance(changes, dict) else changes
        content = save(load_file(last), metadata=None if text is None else {"genlib": text})
        last.unlink()
        return [write_by_content(folder, content, 64)]

    return damage_folder


def write_by_content(folder: Path, content: bytes, images: int) -> Path:
    path = folder / f"{images:012d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    path.write_bytes(content)
    return path


def add_entry(name: str, make: Callable[[Path], object]) -> Damage:
    """Add what is not a file, or does not have the name of a checkpoint, and is not read."""

    def damage_folder(folder: Path, training: InterruptedTraining) -> list[Path]:
        make(folder / name)
        return []

    return damage_folder


CHECKPOINT_NAME = "000000000080-0123456789abcdef.safetensors"
MUTATIONS = [
    *(Mutation(f"the newest: {name}", damage_newest(damage), SAME) for name, damage in FILE_DAMAGE.items()),
    *(
        Mutation(f"both: {name}", damage_both(FILE_DAMAGE[name]), SAME)
        for name in ("empty", "cut in half", "zeros", "a bit in the middle")
    ),
    *(
        Mutation(f"the previous: {name}", damage_previous(FILE_DAMAGE[name]), SAME)
        for name in ("empty", "a bit in the middle")
    ),
    *(
        Mutation(f"{other} {'alone' if alone else 'beside'}", add_foreign(other, alone=alone), SAME)
        for other in ("another seed", "another rate", "another model", "another seed, finished")
        for alone in (True, False)
    ),
    Mutation("renamed to a finished one", rename_to_finished, SAME),
    Mutation("each in the other's name", swap_contents, SAME),
    Mutation("metadata that are not JSON", rewrite_metadata('{"version": 1, "job"'), SAME),
    Mutation("metadata that are a list", rewrite_metadata("[]"), REFUSED),
    Mutation("no metadata", rewrite_metadata(None), SAME),
    Mutation("no history", rewrite_metadata({"history": [{}]}), SAME),
    Mutation("a later version", rewrite_metadata({"version": 2}), REFUSED),
    Mutation("a version in words", rewrite_metadata({"version": "two"}), REFUSED),
    Mutation("another number of images inside", rewrite_metadata({"images_seen": 96}), SAME),
    Mutation("the digest of another job inside", rewrite_metadata({"job": "0" * 16}), SAME),
    Mutation("a folder with the name of a checkpoint", add_entry(CHECKPOINT_NAME, Path.mkdir), SAME),
    Mutation("a link to nothing", add_entry(CHECKPOINT_NAME, lambda path: path.symlink_to("nowhere")), SAME),
    Mutation("a name without a hash", add_entry("000000000096-.safetensors", Path.touch), SAME),
    Mutation("a name without a number", add_entry("0x-1.safetensors", Path.touch), SAME),
]


@parametrize(MUTATIONS)
def test_bad_checkpoints(mutation, training, tmp_path, capsys):
    folder = tmp_path / training.job.checkpoint_dir.name
    shutil.copytree(training.job.checkpoint_dir, folder)
    named = mutation.damage(folder, training)
    job = replace(training.job, checkpoint_dir=folder)
    code = run_cli(lambda: finish_training(job, tmp_path / "model"))
    stderr = capsys.readouterr().err
    if mutation.expected == REFUSED:
        require_refusal(code, stderr, re.escape(f"{named[0]}: got version"))
        assert not (tmp_path / "model").exists()
        return
    assert code == 0, stderr
    assert [line for line, path in zip(stderr.splitlines(), named, strict=True) if str(path) not in line] == []
    assert read_result(tmp_path / "model") == training.result


def test_training_from_a_checkpoint_of_a_later_version_exits_with_2(training, tmp_path):
    folder = start_project(tmp_path, training.data)
    rewrite_metadata({"version": 2})(folder, training)
    done = run_module(tmp_path, "pipelines.train", "vae")
    require_refusal(done.returncode, done.stderr, "got version 2, expected up to 1; a later genlib wrote it")


def test_training_past_a_broken_checkpoint_says_so_and_ends(training, tmp_path):
    last, _ = list_checkpoints(start_project(tmp_path, training.data))
    flip_bit(last, 0.5)
    done = run_module(tmp_path, "pipelines.train", "vae")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"train vae: passed over {last}: its content is not what its name says\n") == 1
    assert "resumed at 32" in done.stderr
    assert (tmp_path / "runs/train/vae/history.tsv").read_text().count("\n") == 4
