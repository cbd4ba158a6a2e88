"""Eighty params.yaml, damaged or written in another way: the check refuses one with one line, or reads what it says."""

import contextlib
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faults.interrupted_training import PARAMS as SMALL_PARAMS
from faults.interrupted_training import ROOT, run_module
from faults.mutations import JUDGED, LEGAL, REFUSED, SAME, Mutation, parametrize, require_refusal
from ruamel.yaml import YAML

from genlib.params import load_params
from pipelines import check

RANDOM = random.Random(0)
VALUES = YAML(typ="safe", pure=True).load(ROOT / "params.yaml")
TEXT = (ROOT / "params.yaml").read_bytes()
NUMBER_KEYS = [
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
NOT_NUMBERS = [
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
WORD_KEYS = [
    "data.name",
    "data.split",
    "tune.searcher",
    "tune.metric",
    "tune.second_metric",
    "models.gan.model.name",
    "models.vae.objective.name",
    "models.vae.model.pixel_likelihood",
    "models.gan.objective.loss",
    "train.precision",
    "models.vae.train.schedule",
]
NOT_WORDS = ["7", "[x]", "{x: y}", "null", "''", "no such", "2020-01-01", '"a\\nb"', '"\\0"', "!!set {x}"]
SECTION_KEYS = [
    "data",
    "models",
    "models.gan",
    "models.gan.model",
    "models.gan.objective",
    "models.gan.search_space",
    "train",
    "tune",
    "tune.constraints",
    "evaluate",
    "evaluate.metrics",
    "ray",
    "tracking",
]
NOT_SECTIONS = ["7", "word", "[1, 2]", "null", "2020-01-01", "!!omap [a: 1]"]
KNOWN_KEYS = [
    *NUMBER_KEYS,
    *WORD_KEYS,
    "tune",
    "evaluate.metrics",
    "ray.storage_path",
    "tracking.experiment",
    "models.gan.search_space",
]
INTEGER_KEYS = [
    key for key in NUMBER_KEYS if key.rpartition(".")[2] not in ("ema", "lr", "lr_g", "r1", "cpu", "copies")
]
MERGES = "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 10))
ALIASES = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


def replace_value(key: str, text: str) -> Callable[[Path], None]:
    """Write another value, as YAML, at a dotted key."""

    def damage(folder: Path) -> None:
        values, section, last = copy_values(key)
        section[last] = "@@"
        (folder / "params.yaml").write_text(json.dumps(values).replace('"@@"', text))

    return damage


def rename_key(key: str, name: str) -> Callable[[Path], None]:
    """Write the value of a dotted key at another key of its section."""

    def damage(folder: Path) -> None:
        values, section, last = copy_values(key)
        section[name] = section.pop(last)
        (folder / "params.yaml").write_text(json.dumps(values))

    return damage


def drop_key(key: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        values, section, last = copy_values(key)
        del section[last]
        (folder / "params.yaml").write_text(json.dumps(values))

    return damage


def copy_values(key: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """A copy of all values, the section in it of a dotted key, and the key in that section."""
    values = section = json.loads(json.dumps(VALUES))
    *parents, last = key.split(".")
    for parent in parents:
        section = section[parent]
    return values, section, last


def write_params(content: bytes | str) -> Callable[[Path], object]:
    content = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / "params.yaml").write_bytes(content)


def replace_random_byte(seed: int) -> bytes:
    draw, content = random.Random(seed), bytearray(TEXT)
    content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


def sample_wrong_values(keys: list[str], texts: list[str], count: int) -> list[Mutation]:
    """`count` of all the pairs of a key and a text that is wrong there."""
    pairs = RANDOM.sample([(key, text) for key in keys for text in texts], count)
    return [Mutation(f"{key} = {text}", replace_value(key, text)) for key, text in pairs]


def replace_by_folder(folder: Path) -> None:
    (folder / "params.yaml").unlink()
    (folder / "params.yaml").mkdir()


def rewritten_params() -> dict[str, bytes]:
    """The same params in other words."""
    commented = TEXT.replace(b"# Every number", "# Änderbar: every number".encode())
    aliased = TEXT.replace(b"seed: 0", b"seed: &seed 0", 1).replace(b"\n  seed: 0", b"\n  seed: *seed", 1)
    return {
        "another comment": commented,
        "line ends of Windows": TEXT.replace(b"\n", b"\r\n"),
        "a byte order mark": b"\xef\xbb\xbf" + TEXT,
        "JSON": json.dumps(VALUES).encode(),
        "keys in another order": json.dumps(VALUES, sort_keys=True).encode(),
        "an alias": aliased,
    }


MUTATIONS = [
    *sample_wrong_values(NUMBER_KEYS, NOT_NUMBERS, 16),
    *sample_wrong_values(WORD_KEYS, NOT_WORDS, 10),
    *sample_wrong_values(SECTION_KEYS, NOT_SECTIONS, 6),
    *(Mutation(f"{key} = 10^30", replace_value(key, "1" + "0" * 30)) for key in RANDOM.sample(INTEGER_KEYS, 3)),
    *(
        Mutation(f"{key} renamed", rename_key(key, f"{key.rpartition('.')[2]}_"))
        for key in RANDOM.sample(KNOWN_KEYS, 5)
    ),
    *(Mutation(f"no {key}", drop_key(key)) for key in ("data", "evaluate.metrics", "models.gan.model.name")),
    *(
        Mutation(f"no {key}", drop_key(key), LEGAL)
        for key in ("train.report_every", "tune.constraints", "data.image_size")
    ),
    Mutation("a number of 5,000 digits", replace_value("train.seed", "9" * 5000)),
    Mutation("a key twice", write_params(TEXT + b"\ndata: {name: digits}\n")),
    Mutation("a Python object", replace_value("data.name", "!!python/object/apply:os.mkdir [made_by_yaml]")),
    Mutation("a list in itself", replace_value("evaluate.metrics", "&a [*a]")),
    Mutation("a mapping in itself", replace_value("models.gan.objective", "&a {name: adversarial, r1: *a}")),
    Mutation("a bomb of merge keys", write_params(f"a0: &a0 {{x: 1}}\n{MERGES}data: *a9\n")),
    Mutation("a bomb of aliases", write_params(f"a0: &a0 x\n{ALIASES}data: *a11\n")),
    Mutation("2,000 lists in each other", replace_value("data.name", "[" * 2000)),
    Mutation("a key that is a list", write_params(TEXT + b"\n? [a]\n: b\n")),
    Mutation("a key that is a number", write_params(TEXT + b"\n7: b\n")),
    Mutation("a model whose folder lies elsewhere", rename_key("models.scorer", "../../scorer")),
    Mutation("a model whose name has two lines", rename_key("models.scorer", "a\nb")),
    Mutation("10^9 channels", replace_value("models.vae.model.width", "1000000000")),
    Mutation("bytes that are not UTF-8", write_params(TEXT.replace(b"mnist5k", b"mnist5\xff", 1))),
    Mutation("a tab for an indent", write_params(TEXT.replace(b"  name: mnist5k", b"\tname: mnist5k", 1))),
    Mutation("a quote that is not closed", write_params(TEXT.replace(b"name: mnist5k", b"name: 'mnist5k", 1))),
    Mutation("two documents", write_params(TEXT + b"\n---\n" + TEXT)),
    Mutation("nothing", write_params(b"")),
    Mutation("comments only", write_params(b"# nothing\n")),
    Mutation("a folder of this name", replace_by_folder),
    Mutation("no file", lambda folder: (folder / "params.yaml").unlink()),
    *(
        Mutation(f"cut at {share:.0%}", write_params(TEXT[: int(share * len(TEXT))]), JUDGED)
        for share in (0.3, 0.7, 0.96)
    ),
    *(Mutation(f"a random byte, {seed}", write_params(replace_random_byte(seed)), JUDGED) for seed in range(5)),
    *(Mutation(name, write_params(text), SAME) for name, text in rewritten_params().items()),
]


@pytest.fixture(scope="module")
def checked_project(tmp_path_factory):
    """A folder with params.yaml after a check, and the digest of the params."""
    folder = tmp_path_factory.mktemp("checked_project")
    shutil.copy(ROOT / "params.yaml", folder)
    with contextlib.chdir(folder):
        check.check(None, [])
        return folder, load_params().digest()


@parametrize(MUTATIONS)
def test_bad_params(mutation, checked_project, tmp_path, monkeypatch, capsys):
    template, digest = checked_project
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    mutation.damage(tmp_path)
    before = snapshot(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(sys, "argv", ["check"])
    with pytest.raises(SystemExit) as end:
        check.main()
    stderr, expected = capsys.readouterr().err, mutation.expected
    if expected == JUDGED:
        found = read_yaml(tmp_path / "params.yaml")
        expected = SAME if found == VALUES else REFUSED if end.value.code else LEGAL
    if expected == REFUSED:
        require_refusal(end.value.code, stderr, r"params\.yaml: ", r": (data|models|train|tune|evaluate)\.")
        assert snapshot(tmp_path) == before
        return
    assert (end.value.code, stderr) == (0, "")
    params = load_params()
    assert (params.digest() == digest) == (expected == SAME)
    require_same_values(read_yaml(tmp_path / "params.yaml"), params.model_dump())


def snapshot(folder: Path) -> dict[Path, bytes | None]:
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def read_yaml(path: Path) -> Any:
    try:
        return YAML(typ="safe", pure=True).load(path.read_bytes())
    except Exception:
        return None


def require_same_values(written: dict[str, Any], params: dict[str, Any]) -> None:
    """Every value of the file stands in the params at its own key."""
    for key, value in written.items():
        if isinstance(value, dict) and isinstance(params[key], dict):
            require_same_values(value, params[key])
        else:
            is_same = params[key] == value and type(params[key]) is type(value)
            assert is_same or params[key] == float(value), key


def test_the_check_exits_with_2(tmp_path):
    (tmp_path / "params.yaml").write_text(SMALL_PARAMS.replace("16", ".nan"))
    done = run_module(tmp_path, "pipelines.check")
    require_refusal(done.returncode, done.stderr, "params.yaml: models.vae.train.batch_size: got nan")
