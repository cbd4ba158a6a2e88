"""Two hundred damaged inputs: each is refused with one line and exit code 2, or it changes nothing.

A mutation has a name, damages a copy of an input that is right, and says how that has to end:

    REFUSED   exit code 2, one line that names the file or the key, nothing else said and nothing touched
    SAME      exit code 0, and the result is that of the input as it was
    LEGAL     exit code 0, and the result is what the changed input says
    JUDGED    of text that chance damaged: whichever of the three an independent reading calls for

Every other end (a traceback, another code, a result that differs) is a defect. In params.yaml a legal change is told
from damage by reading the text with nothing but a YAML parser: where the values in it are those of the original the end
must be SAME, and where they are not the check may pass only if every one of them stands in the params as it was
written, at its own key. All other files are results of a stage, where any change of content is damage.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from prepared import digits, job
from ruamel.yaml import YAML
from safetensors import safe_open
from safetensors.torch import load_file, save, save_file

import genlib
from genlib.cli import main
from genlib.data.dataset import content_hash, load_dataset
from genlib.errors import run_cli
from genlib.files import with_checksum
from genlib.params import load_params
from genlib.training.checkpoints import list_checkpoints, quarantine_checkpoints
from genlib.training.fit import fit
from genlib.training.job import TrainingJob, save_model
from pipelines import check

ROOT = Path(__file__).parents[2]
CHANCE = random.Random(0)
REFUSED, SAME, LEGAL, JUDGED = "refused", "same", "legal", "judged"


class Mutation(NamedTuple):
    """`damage` changes what lies in a folder; `right` is the end that it must have."""

    name: str
    damage: Callable[..., Any]
    right: str = REFUSED


def each(mutations: list[Mutation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("mutation", mutations, ids=[mutation.name for mutation in mutations])


def require_refusal(code: int, said: str, *names: str) -> None:
    """One line, and one of the names in it (a name is a regular expression)."""
    assert code == 2, said
    assert re.fullmatch(r"genlib: [^\n]+\n", said), said
    assert any(re.search(name, said) for name in names), said


def flipped(path: Path, where: float, bit: int = 1) -> None:
    """One bit of the byte at so large a share of the file."""
    content = bytearray(path.read_bytes())
    content[min(int(where * len(content)), len(content) - 1)] ^= bit
    path.write_bytes(content)


def cut(path: Path, where: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(where * len(content))])


def edited(path: Path, tidy: bool = False, **changes: Any) -> None:
    """Change keys of a JSON file, with the seal as it is or, if `tidy`, taken away; None takes a key away."""
    content = json.loads(path.read_text()) | ({"seal": None} if tidy else {}) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


FILE_DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut to nothing": lambda path: cut(path, 0),
    "cut in its head": lambda path: path.write_bytes(path.read_bytes()[:5]),
    "cut in half": lambda path: cut(path, 0.5),
    "short of a byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer by a byte": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "a bit of its first byte": lambda path: flipped(path, 0),
    "a bit of its header": lambda path: flipped(path, 12 / path.stat().st_size, 2),
    "a bit in the middle": lambda path: flipped(path, 0.5),
    "a bit near the end": lambda path: flipped(path, 0.95, 128),
    "a bit of its last byte": lambda path: flipped(path, 1, 64),
    "text": lambda path: path.write_text("this is no such file\n"),
}


# params.yaml

TREE = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
TEXT = (ROOT / "params.yaml").read_bytes()
NUMBERS = [
    "data.seed",
    "data.image_size",
    "train.seed",
    "train.batch_size",
    "train.ema",
    "train.report_every",
    "models.vae.train.lr",
    "models.gan.train.lr_g",
    "models.gan.model.latent",
    "models.vae.model.width",
    "models.gan.objective.r1",
    "tune.trials",
    "models.classifier.objective.shift",
    "tune.images_per_trial",
    "tune.finalist_seeds",
    "tune.resources.cpu",
    "tune.refit.seeds",
    "tune.constraints.copies",
    "evaluate.samples",
    "evaluate.seed",
]
NO_NUMBERS = [
    ".nan",
    ".inf",
    "-.inf",
    "-7",
    "[7]",
    "'7'",
    "true",
    "7e999",
    "2020-01-01",
    "!!binary Nw==",
    "{a: 7}",
    "7 apples",
    "!!int x",
    "0x",
    "1_0x",
]
WORDS = [
    "data.name",
    "data.split",
    "tune.searcher",
    "tune.metric",
    "tune.second_metric",
    "models.gan.model.name",
    "models.vae.objective.name",
    "models.vae.model.observation",
    "models.gan.objective.loss",
    "train.precision",
    "models.vae.train.schedule",
]
NO_WORDS = ["7", "[x]", "{x: y}", "null", "''", "no such", "2020-01-01", '"a\\nb"', '"\\0"', "!!set {x}"]
SECTIONS = [
    "data",
    "models",
    "models.gan",
    "models.gan.model",
    "models.gan.objective",
    "models.gan.search",
    "train",
    "tune",
    "tune.constraints",
    "evaluate",
    "evaluate.metrics",
    "cluster",
    "tracking",
]
NO_SECTIONS = ["7", "word", "[1, 2]", "null", "2020-01-01", "!!omap [a: 1]"]
FIXED = [*NUMBERS, *WORDS, "tune", "evaluate.metrics", "ray.storage_path", "tracking.experiment", "models.gan.search"]
WHOLE = [key for key in NUMBERS if key.rpartition(".")[2] not in ("ema", "lr", "lr_g", "r1", "cpu", "copies")]
BOMB = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


def spoilt(key: str, text: str = "@", name: str = "") -> Callable[[Path], None]:
    """Another value, in YAML, at a dotted key, or the same at another key."""

    def damage(folder: Path) -> None:
        tree = json.loads(json.dumps(TREE))
        *parents, last = key.split(".")
        place = tree
        for parent in parents:
            place = place[parent]
        value = place.pop(last)
        if name or text != "@":
            place[name or last] = value if text == "@" else "@@"
        (folder / "params.yaml").write_text(json.dumps(tree).replace('"@@"', text))

    return damage


def written(content: bytes | str) -> Callable[[Path], object]:
    content = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / "params.yaml").write_bytes(content)


def random_bytes(seed: int) -> bytes:
    """A byte of the text replaced by any other."""
    chance, content = random.Random(seed), bytearray(TEXT)
    content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def values(keys: list[str], texts: list[str], count: int) -> list[Mutation]:
    """`count` of all the pairs of a key and a text that is not legal there."""
    pairs = CHANCE.sample([(key, text) for key in keys for text in texts], count)
    return [Mutation(f"{key} = {text}", spoilt(key, text)) for key, text in pairs]


def instead(folder: Path) -> None:
    (folder / "params.yaml").unlink()
    (folder / "params.yaml").mkdir()


def the_same_in_other_words() -> dict[str, bytes]:
    commented = TEXT.replace(b"# Every number", "# Änderbar: every number".encode())
    aliased = TEXT.replace(b"seed: 0", b"seed: &seed 0", 1).replace(b"\n  seed: 0", b"\n  seed: *seed", 1)
    return {
        "another comment": commented,
        "line ends of Windows": TEXT.replace(b"\n", b"\r\n"),
        "a byte order mark": b"\xef\xbb\xbf" + TEXT,
        "JSON": json.dumps(TREE).encode(),
        "keys in another order": json.dumps(TREE, sort_keys=True).encode(),
        "an alias": aliased,
    }


PARAMS = [
    *values(NUMBERS, NO_NUMBERS, 16),
    *values(WORDS, NO_WORDS, 10),
    *values(SECTIONS, NO_SECTIONS, 6),
    *(Mutation(f"{key} = 10^30", spoilt(key, "1" + "0" * 30)) for key in CHANCE.sample(WHOLE, 3)),
    *(Mutation(f"{key} renamed", spoilt(key, name=f"{key.rpartition('.')[2]}_")) for key in CHANCE.sample(FIXED, 5)),
    *(Mutation(f"no {key}", spoilt(key)) for key in ("data", "evaluate.metrics", "models.gan.model.name")),
    *(
        Mutation(f"no {key}", spoilt(key), LEGAL)
        for key in ("train.report_every", "tune.constraints", "data.image_size")
    ),
    Mutation("a number of 5,000 digits", spoilt("train.seed", "9" * 5000)),
    Mutation("a key twice", written(TEXT + b"\ndata: {name: digits}\n")),
    Mutation("a Python object", spoilt("data.name", "!!python/object/apply:os.mkdir [made_by_yaml]")),
    Mutation("a list in itself", spoilt("evaluate.metrics", "&a [*a]")),
    Mutation("a mapping in itself", spoilt("models.gan.objective", "&a {name: adversarial, r1: *a}")),
    Mutation("a bomb of aliases", written(f"a0: &a0 x\n{BOMB}data: *a11\n")),
    Mutation("2,000 lists in each other", spoilt("data.name", "[" * 2000)),
    Mutation("a key that is a list", written(TEXT + b"\n? [a]\n: b\n")),
    Mutation("a key that is a number", written(TEXT + b"\n7: b\n")),
    Mutation("a model outside of its folder", spoilt("models.scorer", name="../../scorer")),
    Mutation("a model of two lines", spoilt("models.scorer", name="a\nb")),
    Mutation("a net of 10^9 channels", spoilt("models.vae.model.width", "1000000000")),
    Mutation("bytes that are no UTF-8", written(TEXT.replace(b"digits", b"digit\xff", 1))),
    Mutation("a tab for an indent", written(TEXT.replace(b"  name: digits", b"\tname: digits", 1))),
    Mutation("a quote that is not closed", written(TEXT.replace(b"name: digits", b"name: 'digits", 1))),
    Mutation("two documents", written(TEXT + b"\n---\n" + TEXT)),
    Mutation("nothing", written(b"")),
    Mutation("comments only", written(b"# nothing\n")),
    Mutation("a folder in its place", instead),
    Mutation("no file", lambda folder: (folder / "params.yaml").unlink()),
    *(Mutation(f"cut at {share:.0%}", written(TEXT[: int(share * len(TEXT))]), JUDGED) for share in (0.3, 0.7, 0.98)),
    *(Mutation(f"a random byte, {seed}", written(random_bytes(seed)), JUDGED) for seed in range(5)),
    *(Mutation(name, written(text), SAME) for name, text in the_same_in_other_words().items()),
]


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """A folder with params.yaml that were checked, and their digest."""
    folder = tmp_path_factory.mktemp("checked")
    shutil.copy(ROOT / "params.yaml", folder)
    with contextlib.chdir(folder):
        check.check(None, [])
        return folder, load_params().digest()


@each(PARAMS)
def test_params(mutation, checked, tmp_path, monkeypatch, capsys):
    template, digest = checked
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    mutation.damage(tmp_path)
    before = snapshot(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(sys, "argv", ["check"])
    with pytest.raises(SystemExit) as end:
        check.main()
    said, right = capsys.readouterr().err, mutation.right
    if right == JUDGED:
        found = plainly_read(tmp_path / "params.yaml")
        right = SAME if found == TREE else REFUSED if end.value.code else LEGAL
    if right == REFUSED:
        require_refusal(end.value.code, said, r"params\.yaml: ", r": (data|models|train|tune|evaluate)\.")
        assert snapshot(tmp_path) == before
        return
    assert (end.value.code, said) == (0, "")
    params = load_params()
    assert (params.digest() == digest) == (right == SAME)
    require_kept(plainly_read(tmp_path / "params.yaml"), params.model_dump())


def snapshot(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def plainly_read(path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path.read_bytes())
    except Exception:
        return None


def require_kept(told: dict[str, Any], params: dict[str, Any]) -> None:
    """Every value of the file stands in the params at its own key."""
    for key, value in told.items():
        if isinstance(value, dict) and isinstance(params[key], dict):
            require_kept(value, params[key])
        else:
            exactly = params[key] == value and type(params[key]) is type(value)
            assert exactly or params[key] == float(value), key


# checkpoints


class Trained(NamedTuple):
    """Data, a job that was killed at 64 of its 96 images, what it gives in the end, and states of other jobs."""

    data: Path
    run: TrainingJob
    result: tuple[bytes, ...]
    others: dict[str, Path]


def trained_to(run: TrainingJob, images: int) -> Path:
    for progress in fit(run):
        if progress.images_seen >= images:
            break
    assert run.checkpoint_dir
    return run.checkpoint_dir


def finish(run: TrainingJob, out: Path) -> None:
    """What the stage does but for Ray and MLflow."""
    assert run.checkpoint_dir
    for line in quarantine_checkpoints(run.checkpoint_dir, run.digest):
        print(line, file=sys.stderr)
    for _ in fit(run):
        pass
    save_model(run, out)


def result(folder: Path) -> tuple[bytes, ...]:
    return tuple((folder / name).read_bytes() for name in ("model.safetensors", "raw.safetensors", "history.tsv"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    data = digits(root / "data")

    def named(model: str, **train: Any) -> TrainingJob:
        run = job(model, data, **train)
        return run.with_checkpoints_in(root / "states")

    run = named("vae")
    finish(job("vae", data, root / "whole"), root / "model")
    trained_to(run, 64)
    others = {
        "another seed": trained_to(named("vae", seed=1), 64),
        "another rate": trained_to(named("vae", lr=0.01), 64),
        "another model": trained_to(named("autoencoder"), 64),
        "another seed, finished": trained_to(named("vae", seed=2), 96),
    }
    finish(named("autoencoder"), root / "other")
    return Trained(data, run, result(root / "model"), others)


def newest(damage: Callable[[Path], object]) -> Callable[[Path, Trained], list[Path]]:
    """Damage the newest checkpoint; what is returned are those that have to be named."""

    def mutation(state: Path, trained: Trained) -> list[Path]:
        last, _ = list_checkpoints(state)
        damage(last)
        return [last]

    return mutation


def both(damage: Callable[[Path], object]) -> Callable[[Path, Trained], list[Path]]:
    def mutation(state: Path, trained: Trained) -> list[Path]:
        found = list_checkpoints(state)
        for path in found:
            damage(path)
        return found

    return mutation


def before(damage: Callable[[Path], object]) -> Callable[[Path, Trained], list[Path]]:
    """Damage the one before, which nobody looks at."""

    def mutation(state: Path, trained: Trained) -> list[Path]:
        damage(list_checkpoints(state)[1])
        return []

    return mutation


def foreign(other: str, *, alone: bool) -> Callable[[Path, Trained], list[Path]]:
    """The newest checkpoint of another job beside, or in the place of, those of this one."""

    def mutation(state: Path, trained: Trained) -> list[Path]:
        [theirs, *_], mine = list_checkpoints(trained.others[other]), list_checkpoints(state)
        for path in mine if alone else ():
            path.unlink()
        shutil.copy(theirs, state)
        later = alone or theirs.name > mine[0].name
        return [state / theirs.name] if later else []

    return mutation


def renamed(state: Path, trained: Trained) -> list[Path]:
    """The last is said to have seen all images."""
    last, _ = list_checkpoints(state)
    told = state / f"{96:012d}-{last.name.partition('-')[2]}"
    last.rename(told)
    return [told]


def swapped(state: Path, trained: Trained) -> list[Path]:
    last, first = list_checkpoints(state)
    content = last.read_bytes()
    last.write_bytes(first.read_bytes())
    first.write_bytes(content)
    return [last, first]


def rewritten(facts: object) -> Callable[[Path, Trained], list[Path]]:
    """The newest with other metadata and a name that fits its content; a mapping changes what is there."""

    def mutation(state: Path, trained: Trained) -> list[Path]:
        last, _ = list_checkpoints(state)
        with safe_open(last, "pt") as file:
            there = json.loads(file.metadata()["genlib"])
        told = json.dumps(there | facts) if isinstance(facts, dict) else facts
        content = save(load_file(last), metadata=None if told is None else {"genlib": told})
        last.unlink()
        return [named_by_content(state, content, 64)]

    return mutation


def named_by_content(state: Path, content: bytes, images: int) -> Path:
    path = state / f"{images:012d}-{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    path.write_bytes(content)
    return path


def beside(name: str, make: Callable[[Path], object]) -> Callable[[Path, Trained], list[Path]]:
    """Something more in the folder that is no file, or not of a checkpoint's name: nobody looks at it."""

    def mutation(state: Path, trained: Trained) -> list[Path]:
        make(state / name)
        return []

    return mutation


CHECKPOINT = "000000000080-0123456789abcdef.safetensors"
STATES = [
    *(Mutation(f"the newest: {name}", newest(damage), SAME) for name, damage in FILE_DAMAGE.items()),
    *(
        Mutation(f"both: {name}", both(FILE_DAMAGE[name]), SAME)
        for name in ("cut to nothing", "cut in half", "zeros", "a bit in the middle")
    ),
    *(
        Mutation(f"the one before: {name}", before(FILE_DAMAGE[name]), SAME)
        for name in ("cut to nothing", "a bit in the middle")
    ),
    *(
        Mutation(f"{other} {'alone' if alone else 'beside'}", foreign(other, alone=alone), SAME)
        for other in ("another seed", "another rate", "another model", "another seed, finished")
        for alone in (True, False)
    ),
    Mutation("renamed to a finished one", renamed, SAME),
    Mutation("each in the other's name", swapped, SAME),
    Mutation("metadata that are no JSON", rewritten('{"version": 1, "job"'), SAME),
    Mutation("metadata that are a list", rewritten("[]"), REFUSED),
    Mutation("no metadata", rewritten(None), SAME),
    Mutation("no history", rewritten({"history": [{}]}), SAME),
    Mutation("a later version", rewritten({"version": 2}), REFUSED),
    Mutation("a version in words", rewritten({"version": "two"}), REFUSED),
    Mutation("another number of images inside", rewritten({"images_seen": 96}), SAME),
    Mutation("the digest of another job inside", rewritten({"job": "0" * 16}), SAME),
    Mutation("a folder of its name", beside(CHECKPOINT, Path.mkdir), SAME),
    Mutation("a link to nothing", beside(CHECKPOINT, lambda path: path.symlink_to("nowhere")), SAME),
    Mutation("a name of no hash", beside("000000000096-.safetensors", Path.touch), SAME),
    Mutation("a name that is no number", beside("0x-1.safetensors", Path.touch), SAME),
]


@each(STATES)
def test_checkpoints(mutation, trained, tmp_path, capsys):
    state = tmp_path / trained.run.state.name
    shutil.copytree(trained.run.state, state)
    named = mutation.damage(state, trained)
    run = replace(trained.run, checkpoint_dir=state)
    code = run_cli(lambda: finish(run, tmp_path / "model"))
    said = capsys.readouterr().err
    if mutation.right == REFUSED:
        require_refusal(code, said, re.escape(f"{named[0]}: found version"))
        assert not (tmp_path / "model").exists()
        return
    assert code == 0, said
    assert [line for line, path in zip(said.splitlines(), named, strict=True) if str(path) not in line] == []
    assert result(tmp_path / "model") == trained.result


# model folders


@pytest.fixture(scope="module")
def images_of(trained):
    """The first samples of the model in a folder."""
    return lambda folder: genlib.load(folder).sample(4, seed=0)


def of_model(name: str, damage: Callable[[Path], object]) -> Callable[[Path, Path], object]:
    return lambda folder, other: damage(folder / name)


def config(tidy: bool = False, **changes: Any) -> Callable[[Path, Path], object]:
    """Other values at keys of config.json, with the seal left as it is or, if `tidy`, taken away."""
    return of_model("config.json", lambda path: edited(path, tidy, **changes))


def taken(name: str) -> Callable[[Path, Path], object]:
    """A file of the other model's folder."""
    return lambda folder, other: shutil.copy(other / name, folder / name)


def indented(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()), indent=7, sort_keys=True))


def nested_deeply(path: Path) -> None:
    path.write_text("[" * 200_000)


WEIGHTS, CONFIG = "model.safetensors", "config.json"
FOLDERS = [
    *(Mutation(f"weights: {name}", of_model(WEIGHTS, damage)) for name, damage in FILE_DAMAGE.items()),
    *(
        Mutation(f"config: {name}", of_model(CONFIG, FILE_DAMAGE[name]))
        for name in ("cut to nothing", "cut in half", "a bit in the middle", "zeros")
    ),
    Mutation("weights of another model", taken(WEIGHTS)),
    Mutation("config of another model", taken(CONFIG)),
    Mutation("raw weights in the place of the average", lambda f, _: shutil.copy(f / "raw.safetensors", f / WEIGHTS)),
    Mutation("no weights", of_model(WEIGHTS, Path.unlink)),
    Mutation("no config", of_model(CONFIG, Path.unlink)),
    Mutation("a later version", config(tidy=True, version=2)),
    Mutation("another shape", config(shape=[1, 16, 16])),
    Mutation("an unknown model, without a seal", config(tidy=True, model={"name": "vaee"})),
    Mutation("a shape of words, without a seal", config(tidy=True, shape="1x8x8")),
    Mutation("no model, without a seal", config(tidy=True, model=None)),
    Mutation("lists in each other", of_model(CONFIG, nested_deeply)),
    Mutation("config in another layout", of_model(CONFIG, indented), SAME),
    Mutation("as before there were seals", config(tidy=True, version=None, model_sha256=None), SAME),
    Mutation(
        "no raw weights and no history",
        lambda f, _: [(f / n).unlink() for n in ("raw.safetensors", "history.tsv")],
        SAME,
    ),
]


@each(FOLDERS)
def test_model_folders(mutation, trained, images_of, tmp_path, capsys):
    root = trained.data.parent
    expected = images_of(root / "model")
    shutil.copytree(root / "model", tmp_path / "model")
    mutation.damage(tmp_path / "model", root / "other")
    found = []
    code = run_cli(lambda: found.append(images_of(tmp_path / "model")))
    said = capsys.readouterr().err
    if mutation.right == REFUSED:
        require_refusal(code, said, re.escape(str(tmp_path / "model")))
    else:
        assert (code, said) == (0, "")
        assert torch.equal(found[0], expected)


# prepared data


def read_whole(folder: Path) -> list[Any]:
    """All that a stage may take from prepared data."""
    dataset = load_dataset(folder)
    found = []
    for domain in filter(None, (dataset, dataset.domain_b)):
        parts = {"train": domain.train, "valid": domain.valid, "test": domain.test}
        found += [content_hash(parts), domain.sha256, domain.classes, domain.shape, domain.name]
    return found


def part(name: str, damage: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: damage(folder / name)


def tensors(name: str, *, tidy: bool = False, **changes: Callable[[Any], Any]) -> Callable[[Path], None]:
    """Other tensors in a part; if `tidy`, as in a folder of before there were hashes of the parts."""

    def damage(folder: Path) -> None:
        held = load_file(folder / name)
        save_file(
            {key: changes.get(key, lambda x: x)(tensor).contiguous() for key, tensor in held.items()}, folder / name
        )
        if tidy:
            described(tidy=True, parts=None)(folder)

    return damage


def described(tidy: bool = False, **changes: Any) -> Callable[[Path], None]:
    return lambda folder: edited(folder / "dataset.json", tidy, **changes)


def swap(folder: Path) -> None:
    """Valid and test, which are of the same shape."""
    (folder / "valid.safetensors").rename(folder / "x")
    (folder / "test.safetensors").rename(folder / "valid.safetensors")
    (folder / "x").rename(folder / "test.safetensors")


def own_domain(folder: Path) -> None:
    """The first domain in the place of the second, whole and well described."""
    other = folder / "other"
    shutil.rmtree(other)
    other.mkdir()
    for path in folder.glob("*.safetensors"):
        shutil.copy(path, other)
    info = json.loads((folder / "dataset.json").read_text())
    own = {key: value for key, value in info.items() if key not in ("seal", "other")}
    (other / "dataset.json").write_text(json.dumps(with_checksum(own)))


def touched(labels: torch.Tensor, value: int) -> torch.Tensor:
    labels[3] = value
    return labels


TRAIN, TEST, INFO = "train.safetensors", "test.safetensors", "dataset.json"
COUNTS = {"train": 1079, "valid": 359, "test": 359}
DATA = [
    *(Mutation(f"train: {name}", part(TRAIN, damage)) for name, damage in FILE_DAMAGE.items()),
    *(
        Mutation(f"description: {name}", part(INFO, FILE_DAMAGE[name]))
        for name in ("cut to nothing", "cut in half", "a bit in the middle")
    ),
    Mutation("pixels of floats", tensors(TRAIN, pixels=lambda x: x.float())),
    Mutation("pixels without channels", tensors(TRAIN, pixels=lambda x: x[:, 0])),
    Mutation("labels of another class", tensors(TEST, labels=lambda y: touched(y, (int(y[3]) + 1) % 10))),
    Mutation("a label beyond the classes, without hashes", tensors(TEST, tidy=True, labels=lambda y: touched(y, 10))),
    Mutation("labels of floats, without hashes", tensors(TEST, tidy=True, labels=lambda y: y.double())),
    Mutation("a label too few, without hashes", tensors(TEST, tidy=True, labels=lambda y: y[1:])),
    Mutation("other counts", described(counts=COUNTS | {"train": 1078})),
    Mutation("other counts, without a seal", described(tidy=True, counts=COUNTS | {"train": 1078})),
    Mutation("another hash", described(sha256="0" * 64)),
    Mutation("two classes in each other's place", described(classes=list("1023456789"))),
    Mutation("a later version", described(tidy=True, version=2)),
    Mutation("valid and test exchanged", swap),
    Mutation("no second domain", lambda folder: shutil.rmtree(folder / "other")),
    Mutation("another second domain", own_domain),
    Mutation("as before there were seals", described(tidy=True, version=None, parts=None), SAME),
]


@pytest.fixture(scope="module")
def prepared(trained):
    return trained.data, read_whole(trained.data)


@each(DATA)
def test_prepared_data(mutation, prepared, tmp_path, capsys):
    template, expected = prepared
    shutil.copytree(template, tmp_path / "data")
    mutation.damage(tmp_path / "data")
    found = []
    code = run_cli(lambda: found.extend(read_whole(tmp_path / "data")))
    said = capsys.readouterr().err
    if mutation.right == REFUSED:
        require_refusal(code, said, re.escape(str(tmp_path / "data")))
    else:
        assert (code, said, found) == (0, "", expected)


# folders of images


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(side: int, depth: int = 8, colour: int = 0, data: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", side, side, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def gradient(path: Path) -> Path:
    """A picture whose pixels Pillow decodes to others, without a word, where a bit of them is wrong."""
    Image.fromarray((np.indices((256, 256)).sum(0) % 256).astype(np.uint8)).save(path)
    return path


def animated(path: Path, kind: str) -> None:
    frames = [Image.fromarray(np.full((8, 8), shade, np.uint8)) for shade in (0, 99, 200)]
    frames[0].save(path, kind, save_all=True, append_images=frames[1:])


IMAGES: dict[str, Callable[[Path], object]] = {
    "cut in half": FILE_DAMAGE["cut in half"],
    "text": FILE_DAMAGE["text"],
    "no bytes": FILE_DAMAGE["cut to nothing"],
    "a bit of its pixels": lambda path: flipped(gradient(path), 0.3, 4),
    "a header of 60,000 x 60,000": lambda path: path.write_bytes(png(60_000)),
    "a header of 10,000 x 10,000": lambda path: path.write_bytes(png(10_000)),
    "CMYK": lambda path: Image.new("CMYK", (8, 8)).save(path, "JPEG"),
    "16 bits of colour": lambda path: path.write_bytes(png(8, 16, 2, (b"\0" + b"\7" * 48) * 8)),
    "an animated GIF": lambda path: animated(path, "GIF"),
    "1 x 1": lambda path: Image.new("L", (1, 1)).save(path),
}
PICTURES = [
    *(Mutation(f"folder: {name}", damage, REFUSED) for name, damage in IMAGES.items()),
    *(Mutation(f"evaluate: {name}", damage, SAME) for name, damage in IMAGES.items()),
]
VICTIM = "7.png"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Two flat folders of 40 images, params that name the first, and what the second is worth without its victim."""
    root = tmp_path_factory.mktemp("pictures")
    for name, seed in (("real", 0), ("fake", 1)):
        draw = np.random.default_rng(seed)
        (root / name).mkdir()
        for at in range(40):
            Image.fromarray(draw.integers(0, 256, (8, 8), dtype=np.uint8)).save(root / name / f"{at}.png")
    (root / "params.yaml").write_text(
        "data: {name: folder, root: real}\nevaluate: {metrics: [kid]}\nmodels: {vae: {model: {name: vae, width: 4}, "
        "objective: {name: elbo}}}\n"
    )
    shutil.copytree(root / "fake", root / "less")
    (root / "less" / VICTIM).unlink()
    with contextlib.chdir(root):
        assert main([*EVALUATE, "less", "--json", "less.json"]) == 0
    return root


EVALUATE = ["evaluate", "--real", "real", "--metrics", "kid", "--fake"]


@each(PICTURES)
def test_images(mutation, pictures, tmp_path, monkeypatch, capsys):
    for name in ("real", "fake"):
        shutil.copytree(pictures / name, tmp_path / name)
    shutil.copy(pictures / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    if mutation.right == REFUSED:
        mutation.damage(tmp_path / "real" / VICTIM)
        code = run_cli(lambda: check.check(None, []))
        require_refusal(code, capsys.readouterr().err, re.escape(f"real/{VICTIM}"))
        assert not (tmp_path / "runs").exists()
        return
    victim = tmp_path / "fake" / VICTIM
    mutation.damage(victim)
    assert main([*EVALUATE, "fake", "--strict"]) == 2
    strict = capsys.readouterr()
    assert main([*EVALUATE, "fake", "--json", "found.json"]) == 0
    told = capsys.readouterr()
    assert told.err == ""
    if mutation.name.endswith("1 x 1"):
        require_refusal(2, strict.err, "--fake: found 1 of 40 images of another shape")
        assert "--fake: 1 of 40 images are resized or converted to 1x8x8" in told.out
    else:
        require_refusal(2, strict.err, re.escape(f"fake/{VICTIM}"))
        assert f"--fake: left out fake/{VICTIM}" in told.out
        found, less = (
            json.loads(path.read_text())["metrics"] for path in (tmp_path / "found.json", pictures / "less.json")
        )
        assert found == less


# the commands as processes

SMALL = """
data: {name: digits, other: {name: printed_digits}}
models:
  vae:
    model: {name: vae, width: 4, latent: 4}
    objective: {name: elbo}
    train: {total_images: 96, batch_size: 16, report_every: 32, checkpoint_every: 32, precision: float32}
evaluate: {metrics: [kid]}
"""


def started(folder: Path, trained: Trained) -> Path:
    """A project with prepared data and a checkpoint of its model at 32 and at 64 images."""
    (folder / "params.yaml").write_text(SMALL)
    shutil.copytree(trained.data, folder / "data/prepared")
    params = load_params(folder / "params.yaml")
    run = TrainingJob(
        "vae",
        {**params.models["vae"].model},
        {"name": "elbo"},
        params.train_config("vae"),
        load_dataset(trained.data),
    )
    return trained_to(run.with_checkpoints_in(folder / ".genlib/state/train/vae"), 64)


def command(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MLFLOW_TRACKING_URI": "http://127.0.0.1:9"}
    done = subprocess.run([sys.executable, "-m", *words], cwd=folder, env=env, capture_output=True, text=True)
    done.stderr = re.sub(r"^.* does not answer .*\n", "", done.stderr)  # the tracking server, which is none
    return done


def test_the_check_exits_with_2(tmp_path):
    (tmp_path / "params.yaml").write_text(SMALL.replace("16", ".nan"))
    done = command(tmp_path, "pipelines.check")
    require_refusal(done.returncode, done.stderr, "params.yaml: models.vae.train.batch_size: found nan")


def test_training_from_a_checkpoint_of_a_later_version_exits_with_2(trained, tmp_path):
    state = started(tmp_path, trained)
    rewritten({"version": 2})(state, trained)
    done = command(tmp_path, "pipelines.train", "vae")
    require_refusal(done.returncode, done.stderr, "got version 2, expected up to 1; a later genlib wrote it")


def test_training_on_damaged_data_exits_with_2(trained, tmp_path):
    started(tmp_path, trained)
    flipped(tmp_path / "data/prepared/valid.safetensors", 0.5)
    done = command(tmp_path, "pipelines.train", "vae")
    require_refusal(done.returncode, done.stderr, "data/prepared/valid.safetensors: found other images than the hash")


def test_training_past_a_broken_checkpoint_says_so_and_ends(trained, tmp_path):
    state = started(tmp_path, trained)
    last, _ = list_checkpoints(state)
    flipped(last, 0.5)
    done = command(tmp_path, "pipelines.train", "vae")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(f"train vae: passed over {last}: its content is not what its name says\n") == 1
    assert "resumed at 32" in done.stderr
    assert (tmp_path / "runs/train/vae/history.tsv").read_text().count("\n") == 4


def test_exploring_damaged_weights_exits_with_2(trained, tmp_path):
    shutil.copytree(trained.data.parent / "model", tmp_path / "model")
    flipped(tmp_path / "model/model.safetensors", 0.5)
    done = command(tmp_path, "genlib", "explore", "model", "--data", str(trained.data))
    require_refusal(done.returncode, done.stderr, "model/model.safetensors: found other weights than config.json says")


def test_there_are_two_hundred():
    kinds = {"params": PARAMS, "checkpoints": STATES, "models": FOLDERS, "data": DATA, "images": PICTURES}
    assert {kind: len(each) for kind, each in kinds.items()} == {
        "params": 80,
        "checkpoints": 40,
        "models": 30,
        "data": 30,
        "images": 20,
    }
    for mutations in kinds.values():
        assert len({mutation.name for mutation in mutations}) == len(mutations)
