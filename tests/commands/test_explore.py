"""`genlib explore`: a picture for each tool that a model supports, and one line for a wrong input."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from untrained_models import project as project

from genlib.cli import main
from genlib.figures.latent_tools import NUM_STEPS, TOOLS
from genlib.latent import LatentSpace


def explored(project, model, *more):
    return main(["explore", str(project / model), "--data", str(project / "data"), *map(str, more)])


def size(path):
    with Image.open(path) as picture:
        return picture.size


CAN = {
    "vae": {"reconstruct", "interpolate", "traverse", "manifold", "attribute", "edit"},
    "cvae": {"reconstruct", "interpolate", "traverse", "manifold", "edit"},
    "gan": {"interpolate", "traverse", "manifold", "invert"},
}


@pytest.mark.parametrize("model", CAN)
def test_every_tool_that_the_model_can_do_draws_a_picture(project, model, tmp_path, capsys):
    assert explored(project, model, "--out", tmp_path, "--count", 3) == 0
    assert {path.stem for path in tmp_path.glob("*.png")} == CAN[model]
    said = capsys.readouterr().out.splitlines()
    for name in TOOLS:
        (line,) = (each for each in said if each.startswith((f"{name}: ", f"{tmp_path / name}.png: ")))
        assert ("left out" in line) == (name not in CAN[model])
    assert all(size(path)[0] > 64 for path in tmp_path.glob("*.png"))


def test_a_sheet_has_a_row_for_each_image_and_its_codes_beside_it(project, tmp_path):
    assert explored(project, "vae", "--out", tmp_path, "--count", 3, "--what", "reconstruct,attribute,edit") == 0
    cell = 8 * (8 + 1)
    sizes = {path.stem: size(path) for path in tmp_path.glob("*.png")}
    assert sizes == {
        "reconstruct": (3 * cell + 8, 2 * cell + 8),
        "attribute": (7 * cell + 8, 10 * cell + 8),
        "edit": (11 * cell + 8, 3 * cell + 8),
    }
    assert load_file(tmp_path / "reconstruct.safetensors")["code"].shape == (3, 4)
    assert load_file(tmp_path / "attribute.safetensors")["vector"].shape == (10, 4)


def test_the_same_seed_draws_the_same_and_another_does_not(project, tmp_path):
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert explored(project, "gan", "--out", tmp_path / folder, "--what", "interpolate", "--seed", seed) == 0
    first, second, third = ((tmp_path / folder / "interpolate.png").read_bytes() for folder in "abc")
    assert first == second != third


def test_the_tools_use_the_codes_of_the_data(project):
    from genlib.data.dataset import load_dataset
    from genlib.registry import load

    data = load_dataset(project / "data")
    subject = LatentSpace(load(project / "vae"), data.test[:2], data.train[:50], 0)
    torch.testing.assert_close(subject.mean, subject.train_codes.mean(0))
    sheet = TOOLS["interpolate"](subject)
    ends = subject.model.decode_image(subject.z).detach()
    torch.testing.assert_close(sheet.images[0], ends[0])
    torch.testing.assert_close(sheet.images[NUM_STEPS - 1], ends[1])


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["nowhere"], "nowhere: not a model folder"),
        (["data"], "data: not a model folder"),
        (["classifier"], "got cnn_classifier, which has no codes"),
        (["vae", "--what", "interpolte"], "--what: got 'interpolte' (did you mean interpolate?)"),
        (["vae", "--count", "-3"], "--count: got -3, expected a whole number of at least 1"),
        (["vae", "--count", "many"], "argument --count: invalid int value: 'many'"),
        (["vae", "--data", "nowhere"], "dataset.json"),
        (["vae", "--data", "small"], "expected those of the model, ((1, 8, 8), 10)"),
        (["vae", "--out", "vae/config.json"], "--out: got that vae/config.json cannot be created"),
        (["vae", "--colour", "red"], "unrecognized arguments: --colour red"),
        ([], "MODEL_FOLDER"),
    ],
)
def test_a_wrong_input_ends_with_one_line_and_2(project, monkeypatch, capsys, arguments, found):
    monkeypatch.chdir(project)
    if not (project / "small").exists():
        (project / "small").mkdir()
        info = json.loads((project / "data/dataset.json").read_text()) | {"shape": [1, 9, 9]}
        del info["seal"]
        (project / "small/dataset.json").write_text(json.dumps(info))
    with_data = [] if "--data" in arguments else ["--data", "data"]
    assert main(["explore", *arguments, *with_data]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("genlib: ")
    assert said.err.count("\n") == 1
    assert found in said.err
    assert not said.out
