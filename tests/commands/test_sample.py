"""`genlib sample`: the same images as a grid, as files and as an array."""

import numpy as np
import pytest
from evaluated_models import models as models
from PIL import Image
from refusals import refusal

from genlib.cli import main
from genlib.commands.sample import parse_labels
from genlib.latent import sample_truncated_normal


def test_a_grid_files_and_an_array_hold_the_same_images(models, tmp_path):
    given = ["--count", "6", "--labels", "2,7", "--out", tmp_path / "grid.png"]
    more = ["--png-folder", tmp_path / "each", "--npz", tmp_path / "all.npz"]
    assert main(["sample", *map(str, [models / "runs/train/cgan", *given, *more])]) == 0
    with np.load(tmp_path / "all.npz") as stored:
        images, labels = stored["images"], stored["labels"]
    assert images.shape == (6, 1, 8, 8) and labels.tolist() == [2, 7] * 3
    for index, label in enumerate(labels):
        with Image.open(tmp_path / f"each/{label}/{index:06d}.png") as picture:
            assert (np.asarray(picture) == images[index, 0]).all()
    with Image.open(tmp_path / "grid.png") as picture:
        assert picture.size == (8 * (2 * 9 + 1), 8 * (3 * 9 + 1))
    assert not list(tmp_path.rglob("*.partial"))


def test_the_images_are_those_of_the_seed(models, tmp_path):
    import genlib
    from genlib.data.images import to_pixels

    folder = models / "runs/train/gan"
    assert main(["sample", str(folder), "--count", "5", "--seed", "3", "--npz", str(tmp_path / "a.npz")]) == 0
    with np.load(tmp_path / "a.npz") as stored:
        assert (stored["images"] == to_pixels(genlib.load(folder).sample(5, seed=3)).numpy()).all()


def test_truncated_codes_follow_the_truncated_normal():
    from scipy import stats

    z = sample_truncated_normal(4000, 2, 0.7, seed=0)
    assert z.abs().max() <= 0.7
    assert stats.kstest(z.flatten().double().numpy(), stats.truncnorm(-0.7, 0.7).cdf).pvalue > 0.01


def test_labels_are_read():
    assert parse_labels("7") == [7] and parse_labels("0,3-5") == [0, 3, 4, 5]


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["sample", "nowhere"], "nowhere: not a model folder"),
        (["sample", "runs/train/classifier"], "makes no images"),
        (["sample", "runs/train/gan", "--labels", "1"], "--labels: got that runs/train/gan is asked for no classes"),
        (["sample", "runs/train/cgan", "--labels", "10"], "--labels: got 10, expected 0 to 9"),
        (["sample", "runs/train/cgan", "--labels", "5-2"], "--labels: got '5-2'"),
        (["sample", "runs/train/gan", "--count", "0"], "--count: got 0"),
        (["sample", "runs/train/gan", "--truncation", "-1"], "--truncation: got -1"),
        (["sample", "runs/train/gan", "--truncation", "nan"], "--truncation: got nan"),
        (["sample", "runs/train/autoencoder", "--truncation", "1"], "--truncation: got that"),
        (["sample", "runs/train/gan", "--out", "runs"], "--out: got the folder"),
    ],
)
def test_a_wrong_input_ends_with_one_line_and_2(models, monkeypatch, capsys, arguments, found):
    monkeypatch.chdir(models)
    assert found in refusal(capsys, arguments)
