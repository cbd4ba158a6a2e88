"""A job: its digest follows all that decides the weights, and a finished one becomes a model folder."""

import ast
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from prepared import MODELS, digits, final_weights, job

import genlib
from genlib.data.images import Images
from genlib.errors import InputError
from genlib.models.layers.pixel_likelihood import LEVELS_LIKELIHOOD
from genlib.registry import default_options, resolve_options
from genlib.training.fit import fit
from genlib.training.job import build_model_config, code_files, history_to_tsv, save_model

PACKAGE = Path(genlib.__file__).parent
NO_WEIGHTS = {  # imported by training, and without influence on the weights
    "errors.py": "texts",
    "files.py": "how files are written and checked",
    "migration.py": "old names, refused or renamed before anything is built",
    "data/config.py": "the source of a data set, whose content is in its hash",
    "data/catalog.py": "likewise",
    "data/splits.py": "likewise",
    "data/resizing.py": "likewise",
    "data/sources.py": "likewise",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return digits(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("name", MODELS)
def test_a_finished_job_becomes_a_model_folder(name, data, tmp_path):
    run = job(name, data, tmp_path / "state")
    with pytest.raises(InputError, match="got no finished state"):
        save_model(run, tmp_path / "model")
    for _ in fit(run):
        pass
    save_model(run, tmp_path / "model")
    model = genlib.load(tmp_path / "model")
    averaged, _, history = final_weights(run.checkpoint_dir)
    found = dict(model.state_dict())
    assert found.keys() == averaged.keys() and all(torch.equal(found[key], averaged[key]) for key in averaged)
    assert not model.training
    assert (tmp_path / "model/history.tsv").read_text() == history_to_tsv(history)
    assert build_model_config(run)["classes"] == 10


def test_history_is_a_table_with_blanks_where_nothing_was_reported():
    rows = [{"images_seen": 1, "a": 0.5}, {"images_seen": 2, "b": 1.0}]
    assert history_to_tsv(rows) == "images_seen\ta\tb\n1\t0.5\t\n2\t\t1\n"


@pytest.mark.parametrize("change", [{"seed": 1}, {"total_images": 97}, {"lr": 0.1}, {"workers": 2}])
def test_the_digest_follows_what_decides_the_weights(data, change):
    assert job("gan", data).digest == job("gan", data).digest
    assert job("gan", data).digest != job("gan", data, **change).digest


def test_the_digest_follows_a_change_and_not_the_checkpoint_folder(data, tmp_path):
    run = job("gan", data)
    assert run.with_overrides({"model.width": 3}).digest != run.digest
    assert replace(run, model=run.model | {"width": 3}).digest == run.with_overrides({"model.width": 3}).digest
    assert run.with_checkpoints_in(tmp_path).checkpoint_dir == tmp_path / run.digest
    assert run.with_checkpoints_in(tmp_path).digest == run.digest


@pytest.mark.parametrize("name", ["vae", "cvae", "iwae"])
def test_auto_is_decided_by_the_training_images(name):
    grey = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16).repeat(3, 1, 1, 1)
    for pixels, expected in (
        (grey, LEVELS_LIKELIHOOD),
        (grey.repeat(1, 3, 1, 1), LEVELS_LIKELIHOOD),
        ((grey > 127).to(torch.uint8) * 255, "binarized"),
    ):
        for given in ({}, {"pixel_likelihood": "auto"}):
            assert resolve_options({"name": name, **given}, partial(Images, pixels))["pixel_likelihood"] == expected
        kept = resolve_options({"name": name, "pixel_likelihood": "gray_bce"}, partial(Images, pixels))
        assert kept["pixel_likelihood"] == "gray_bce"


@pytest.mark.parametrize("name", MODELS)
def test_a_folder_says_every_option_of_its_model(name, data):
    written = build_model_config(job(name, data))["model"]
    assert written.keys() == {"name", *default_options("models", written["name"])}
    assert written.get("pixel_likelihood") != "auto"
    assert replace(job(name, data), model=written).digest == job(name, data).digest


def imported_files(path):
    """The files of the package that a file imports, also within functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        elif isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        for name in names:
            file = PACKAGE.parent / f"{name.replace('.', '/')}.py"
            if name.startswith("genlib.") and file.exists():
                yield file


@pytest.mark.parametrize("name", MODELS)
def test_the_digest_covers_every_file_that_decides_the_weights(name):
    model, objective = (section["name"] for section in MODELS[name])
    entries = [PACKAGE / "training/fit.py", PACKAGE / f"models/{model}.py", PACKAGE / f"objectives/{objective}.py"]
    closure, todo = set(), list(entries)
    while todo:
        path = todo.pop()
        if path not in closure and str(path.relative_to(PACKAGE)) not in NO_WEIGHTS:
            closure.add(path)
            todo += imported_files(path)
    covered = code_files(model, objective)
    assert len(covered) == len(set(covered))
    assert closure <= set(covered), sorted(str(path) for path in closure - set(covered))
