"""`genlib sample`: the images that the model gives, in any of three forms, and one line for what cannot be."""

import numpy as np
import pytest
import torch
from PIL import Image
from test_cli import project as project

from genlib.build import load
from genlib.cli import main
from genlib.data.images import to_pixels
from genlib.data.png import tile


def sampled(project, model, out, *more):
    return main(["sample", str(project / model), "--out", str(out), *map(str, more)])


def test_arrays_are_the_models_own_samples(project, tmp_path):
    assert sampled(project, "gan", tmp_path / "a.npz", "--count", 5, "--seed", 3) == 0
    expected = to_pixels(load(project / "gan").sample(5, seed=3))
    with np.load(tmp_path / "a.npz") as found:
        assert found.files == ["pixels"] and np.array_equal(found["pixels"], expected.numpy())


def test_a_conditional_model_is_asked_for_the_labels_in_turn(project, tmp_path):
    assert sampled(project, "cvae", tmp_path / "a.npz", "--count", 5, "--labels", "7,2") == 0
    y = torch.tensor([7, 2, 7, 2, 7])
    with np.load(tmp_path / "a.npz") as found:
        assert found["labels"].tolist() == y.tolist()
        assert np.array_equal(found["pixels"], to_pixels(load(project / "cvae").sample(5, seed=0, y=y)).numpy())


def test_a_grid_and_a_folder_hold_the_same_pixels(project, tmp_path):
    for out in ("a.png", "folder"):
        assert sampled(project, "cvae", tmp_path / out, "--count", 4, "--labels", "1") == 0
    paths = sorted((tmp_path / "folder").iterdir())
    assert [path.name for path in paths] == [f"{i:06d}_1.png" for i in range(4)]
    pixels = torch.stack([torch.from_numpy(np.array(Image.open(path)))[None] for path in paths])
    scale = 64 // 8
    grid = torch.from_numpy(np.array(Image.open(tmp_path / "a.png")))[::scale, ::scale]
    assert torch.equal(grid, tile(pixels)[0])


@pytest.mark.parametrize("model", ["gan", "vae", "cvae"])
def test_truncation_keeps_codes_within_and_the_smaller_the_more_alike(project, model, tmp_path):
    spreads = []
    for truncation in (0.01, 1, 100):
        out = tmp_path / f"{truncation}.npz"
        labels = ["--labels", "0"] if model == "cvae" else []
        assert sampled(project, model, out, "--count", 200, "--truncation", truncation, *labels) == 0
        with np.load(out) as found:
            spreads.append(found["pixels"].astype(float).var(0).mean())
    assert spreads[0] < spreads[1] < spreads[2]


def test_nothing_is_left_half_written_or_written_over(project, tmp_path, capsys):
    out = tmp_path / "folder"
    assert sampled(project, "gan", out, "--count", 2) == 0
    assert sampled(project, "gan", out, "--count", 3) == 2
    assert "which is there already" in capsys.readouterr().err
    assert len(list(out.iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize(
    ("model", "more", "says"),
    [
        ("gan", ["--count", 0], "--count: found 0"),
        ("gan", ["--labels", "1"], "--labels: found a model that is not asked for classes"),
        ("cvae", ["--labels", "1,10"], "--labels: found 10, legal: 0 to 9"),
        ("cvae", ["--labels", "one"], "--labels: found 'one', legal: whole numbers"),
        ("gan", ["--truncation", "-1"], "--truncation: found -1.0"),
        ("classifier", [], "does not sample"),
        ("nowhere", [], "not a model folder"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(project, model, more, says, tmp_path, capsys):
    assert sampled(project, model, tmp_path / "a.png", *more) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_debug_shows_where_an_error_comes_from(project, tmp_path, capsys):
    assert main(["--debug", "sample", str(tmp_path / "nowhere")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("Traceback") and "genlib: " in said
