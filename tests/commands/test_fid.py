"""`genlib fid`: images and statistics in any place, one line, and what it refuses."""

import json

import numpy as np
import pytest
from evaluation.small_clip import FEATURES, features_of, write_pictures, write_statistics, write_weights

from genlib.cli import main
from genlib.evaluation import protocols
from genlib.metrics.frechet import frechet_distance


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("fid")
    weights = write_weights(root / "w.pth")
    for name, count, seed in (("a", 60, 1), ("b", 90, 2)):
        features = features_of(weights, write_pictures(root / name, count, seed))
        np.save(root / f"{name}.npy", features.numpy())
        write_statistics(root / f"{name}.npz", features)
    write_pictures(root / "one", 1, 3)
    write_pictures(root / "grey", 30, 4, size=(9, 9), channels=1)
    np.savez(root / "other.npz", mu=np.zeros(7), sigma=np.eye(7))
    np.savez(root / "skew.npz", mu=np.zeros(FEATURES), sigma=np.zeros((FEATURES, 3)))
    np.savez(root / "words.npz", mu=np.array(["x"]), sigma=np.array(["y"]))
    return root


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def run(capsys, *arguments, extractor="clip:w.pth"):
    """The parts of the line that it prints: value, ends and the rest."""
    assert main(["fid", *arguments, *(["--extractor", extractor] if extractor else [])]) == 0
    [line] = capsys.readouterr().out.splitlines()
    return line


def test_it_is_the_distance_of_all_images_and_of_their_statistics(here, capsys):
    import torch

    a, b = (torch.from_numpy(np.load(f"{name}.npy")) for name in "ab")
    expected, lines = f"{frechet_distance(a, b):.6g}", {}
    for pair in (("a", "b"), ("a.npz", "b"), ("a", "b.npz"), ("a.npz", "b.npz")):
        lines[pair] = run(capsys, *pair)
        assert lines[pair].startswith(f"fid: frechet@clip {expected}"), lines[pair]
    assert lines["a", "b"].endswith("60 images against 90 images")
    assert lines["a.npz", "b"].endswith("statistics against 90 images")
    assert ["[" in line for line in lines.values()] == [True, True, True, False]  # statistics alone have no spread
    assert run(capsys, "a.npz", "b.npz", extractor=None).startswith(f"fid: frechet@statistics {expected}")


def test_it_agrees_with_torch_fidelity(here, capsys):
    metric_fid = pytest.importorskip("torch_fidelity.metric_fid")
    statistics = [dict(np.load(f"{name}.npz")) for name in "ab"]
    theirs = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert float(run(capsys, "a", "b").split()[2]) == pytest.approx(theirs, rel=1e-4)


def test_images_of_other_sizes_and_channels_are_resized_by_the_network(here, capsys):
    assert "30 images against 90 images" in run(capsys, "grey", "b")


def test_a_folder_of_many_sizes_is_all_of_its_images(here, capsys):
    import torch

    mixed = here / "mixed"
    parts = [write_pictures(mixed, 30, 6, size=(9, 9)), write_pictures(here / "wide", 40, 7, size=(8, 30))]
    for index, path in enumerate(sorted((here / "wide").iterdir())):
        path.rename(mixed / f"{2 * index:03}-wide.png")
    expected = torch.cat([features_of("w.pth", each) for each in parts])
    line = run(capsys, "mixed", "b")
    assert line.endswith("70 images against 90 images")
    found = float(line.split()[2])
    assert found == pytest.approx(frechet_distance(expected, torch.from_numpy(np.load("b.npy"))), rel=1e-5)


def test_files_that_cannot_be_read_are_counted(here, capsys):
    write_pictures(here / "broken", 30, 8)
    (here / "broken/x.png").write_bytes(b"\x89PNG")
    assert run(capsys, "broken", "b").endswith("30 images against 90 images (files that could not be read: 1)")


def test_statistics_of_other_features_are_refused_before_any_image_is_read(here, monkeypatch, capsys):
    monkeypatch.setattr(protocols, "read_image_set", None)
    assert main(["fid", "a", "other.npz", "--extractor", "clip:w.pth"]) == 2
    assert "other.npz: got statistics of 7 features" in capsys.readouterr().err


def test_the_json_is_that_of_an_evaluation(here, capsys):
    run(capsys, "a", "b", "--json", "out.json")
    found = json.loads((here / "out.json").read_text())
    assert found.keys() == {"metrics", "verdicts", "card"} and found["verdicts"] == {}
    frechet, card = found["metrics"]["frechet"], found["card"]
    assert frechet["low"] < frechet["value"] < frechet["high"] and frechet["n"] == 60
    assert card["judge"]["weights"] == "w.pth" and len(card["judge"]["sha256"]) == 64
    assert card["counts"] == {"generated": 60, "real": 90} and card["sources"]["real"] == {"source": "b", "skipped": []}


def test_without_an_extractor_it_uses_components_and_says_so(here, capsys):
    assert "frechet@pca" in (line := run(capsys, "a", "b", extractor=None)) and "No extractor given" in line


def test_too_few_images_for_the_features_have_a_value_and_a_note(here, capsys):
    write_pictures(here / "few", FEATURES, 5)
    line = run(capsys, "few", "b")
    assert "[" not in line and f"({FEATURES} images are too few for {FEATURES} features" in line


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["nowhere", "b"], "A: got nothing at nowhere"),
        (["a", "nowhere"], "B: got nothing at nowhere"),
        (["one", "b"], "A: got 1 images, expected at least 2"),
        (["a", "other.npz"], f"other.npz: got statistics of 7 features, expected {FEATURES}, those of clip"),
        (["a", "skew.npz"], f"skew.npz: got mu [{FEATURES}] and sigma [{FEATURES}, 3], expected mu [d] and sigma"),
        (["a", "words.npz"], "words.npz: got arrays that are no statistics, expected mu [d]"),
        (["a.npz", "b", "--extractor", "pca"], "A: got statistics, expected the extractor that they are of"),
        (["a.npz", "other.npz", "--extractor", "pca"], "got statistics of 7 features, expected 24, as many as in A"),
        (["a", "b", "--extractor", "clip:nowhere.pth"], "--extractor: got no file nowhere.pth"),
        (["a", "b", "--extractor", "clop:w.pth"], "--extractor: got 'clop' (did you mean clip?)"),
        (["a", "b", "--json", "a"], "--json: got the folder a, expected a file"),
    ],
)
def test_a_wrong_input_ends_with_one_line_and_2(here, capsys, arguments, found):
    asked = arguments if "--extractor" in arguments else [*arguments, "--extractor", "clip:w.pth"]
    assert main(["fid", *asked]) == 2
    [said] = [line for line in capsys.readouterr().err.splitlines() if "reading " not in line]
    assert said.startswith("genlib: ") and found in said
