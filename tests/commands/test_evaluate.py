"""`genlib evaluate`: what it refuses in one line, and what it logs."""

import pickle

import numpy as np
import pytest
from evaluate_project import PIXELS, judged, strictly, write
from evaluate_project import here as here
from evaluate_project import judges as judges
from evaluate_project import project as project
from prepared import digits

from genlib.cli import main
from genlib.data import decoding

pytestmark = pytest.mark.usefixtures("few_draws")


class Trap:
    """Unpickled, it makes a folder."""

    def __reduce__(self):
        from pathlib import Path

        return Path.mkdir, (Path("made_by_pickle"),)


@pytest.fixture(scope="module")
def junk(project, judges):
    """Inputs that are refused, by name."""
    root = project / "junk"
    root.mkdir()
    (root / "empty").mkdir()
    (root / "text").mkdir()
    (root / "text/readme.txt").write_text("no images here")
    (root / "broken").mkdir()
    (root / "broken/a.png").write_bytes(b"\x89PNG")
    write(root / "one", slice(0, 1))
    good = PIXELS[:20] / 255
    bad = good.copy()
    bad[3, 2, 2] = np.nan
    contents = {
        "nan": {"images": bad},
        "infinite": {"images": np.where(np.isnan(bad), np.inf, bad)},
        "wide": {"images": good * 255},
        "ints": {"images": PIXELS[:20].astype(np.int64)},
        "flat": {"images": PIXELS[:20].reshape(20, 64)},
        "alpha": {"images": np.zeros((9, 8, 8, 4), np.uint8)},
        "none": {"images": np.zeros((0, 8, 8), np.uint8)},
        "words": {"images": np.array(["a", "b"])},
        "named": {"pictures": PIXELS[:20]},
        "labelled": {"images": PIXELS[:20], "labels": np.arange(19)},
        "negative": {"images": PIXELS[:20], "labels": np.arange(20) - 1},
        "pickled": {"images": np.array([Trap()], dtype=object)},
    }
    for name, arrays in contents.items():
        np.savez(root / f"{name}.npz", **arrays)
    (root / "noise.npz").write_bytes(b"noise")
    (root / "noise.safetensors").write_bytes(b"noise")
    (root / "pickled.pkl").write_bytes(pickle.dumps(Trap()))
    (root / "file").write_text("a file")
    (root / "judges").symlink_to(judges)
    digits(root / "prepared")
    return root


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--real", "nowhere", "--fake", "fake"], "--real: got nothing at nowhere"),
        (["--fake", "nowhere"], "--fake: got nothing at nowhere"),
        (["--train", "nowhere"], "--train: got nothing at nowhere"),
        (["--fake", "junk/empty"], "--fake: got no images in junk/empty"),
        (["--fake", "junk/text"], "--fake: got no images in junk/text"),
        (["--fake", "junk/broken"], "--fake: got no readable images among 1 files; junk/broken/a.png"),
        (["--real", "junk/one"], "--real: got 1 image, expected at least 2"),
        (["--fake", "junk/file"], "--fake: got the file junk/file, expected a folder of images, an .npz"),
        (["--fake", "junk/pickled.pkl"], "--fake: got the file junk/pickled.pkl"),
        (["--fake", "junk/nan.npz"], "junk/nan.npz, images: got NaN or infinity in 1 of 20 images"),
        (["--fake", "junk/infinite.npz"], "junk/infinite.npz, images: got NaN or infinity in 1 of 20 images"),
        (["--fake", "junk/wide.npz"], "junk/wide.npz, images: got floats from 0 to 255, expected in [0, 1] or [-1, 1]"),
        (["--fake", "junk/ints.npz"], "got int64, expected uint8 or floats"),
        (["--fake", "junk/flat.npz"], "got shape [20, 64], expected [N, C, H, W]"),
        (["--fake", "junk/alpha.npz"], "got shape [9, 8, 8, 4], expected [N, C, H, W]"),
        (["--fake", "junk/none.npz"], "got shape [0, 1, 8, 8], expected"),
        (["--fake", "junk/words.npz"], "got what is no array of numbers"),
        (
            ["--fake", "junk/named.npz"],
            "junk/named.npz: got pictures, expected images called pixels or images or arr_0",
        ),
        (["--fake", "junk/labelled.npz"], "got labels of shape [19]"),
        (["--real", "junk/negative.npz"], "expected 20 whole numbers from 0"),
        (["--fake", "junk/pickled.npz"], "junk/pickled.npz: got a file that cannot be read"),
        (["--fake", "junk/noise.npz"], "junk/noise.npz: got a file that cannot be read"),
        (["--fake", "junk/noise.safetensors"], "junk/noise.safetensors: got a file that cannot be read"),
        (["--extractor", "vgg"], "--extractor: got 'vgg'"),
        (["--extractor", "resnet18"], "--extractor: got resnet18 without its weights, expected resnet18:WEIGHTS_FILE"),
        (["--extractor", "resnet18:nowhere.pth"], "--extractor: got no file nowhere.pth"),
        (["--extractor", "inception_v3:junk/judges/net.pth"], "got other weights than those of inception_v3"),
        (["--extractor", "junk/empty"], "junk/empty: not a model folder"),
        (["--extractor", "junk/judges/vae"], "got a model that does not classify"),
        (
            ["--extractor", "junk/judges/judge", "--size", "9"],
            "got a classifier of images [1, 8, 8], expected of [1, 9, 9] (--size 8)",
        ),
        (["--metrics", "kdi"], "--metrics: got 'kdi' (did you mean kid?)"),
        (["--size", "0"], "--size: got 0, expected a whole number from 1 to 1024"),
        (["--size", "big"], "argument --size: invalid int value: 'big'"),
        (["--json", "junk"], "--json: got the folder junk, expected a file"),
        (["--json", "junk/file/m.json"], "junk/file cannot be created"),
        (["--html", "junk/file/m.html"], "junk/file cannot be created"),
        (["--colour", "red"], "unrecognized arguments: --colour red"),
    ],
)
def test_a_wrong_input_ends_with_one_line_and_2(here, junk, capsys, arguments, found):
    asked = {"--real": "real", "--fake": "fake", "--metrics": "kid"}
    asked |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    assert main(["evaluate", *(word for pair in asked.items() for word in pair)]) == 2
    [said] = [line for line in capsys.readouterr().err.splitlines() if "reading " not in line]
    assert said.startswith("genlib: ") and found in said
    assert not (here / "made_by_pickle").exists()


@pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports
def test_it_is_a_run_where_runs_are_kept_and_leaves_nothing_elsewhere(here, tmp_path, monkeypatch):
    from mlflow import MlflowClient

    before = {path.name for path in here.iterdir()}
    assert judged(metrics="kid") == 0
    assert {path.name for path in here.iterdir()} == before
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    assert judged("--json", "m.json", real=here / "real", fake=here / "fake", metrics="kid") == 0
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    [found] = client.search_runs([client.get_experiment_by_name("evaluate").experiment_id])
    written = strictly(tmp_path / "m.json")
    kid, card = written["metrics"]["kid"], written["card"]
    assert {part: found.data.metrics[f"kid_{part}"] for part in ("low", "high", "null")} == {
        part: kid[part] for part in ("low", "high", "null")
    }
    assert found.data.tags["genlib.data_sha256"] == card["data_sha256"]
    assert found.data.params["fake"] == str(here / "fake")


def test_both_sets_must_be_given(capsys):
    assert main(["evaluate", "--real", "real"]) == 2
    assert "--fake" in capsys.readouterr().err


def test_a_failure_leaves_what_was_there(here, junk, tmp_path):
    out = tmp_path / "m.json"
    out.write_text("before")
    assert judged("--json", out, fake="junk/nan.npz") == 2
    assert out.read_text() == "before"
    assert judged("--json", out, metrics="kid") == 0
    assert strictly(out)["metrics"]["kid"]["n"] == 100
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


def test_ctrl_c_ends_with_one_line_and_130(here, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(decoding, "decode_image", interrupted)
    assert judged() == 130
    assert capsys.readouterr().err == "genlib: interrupted\n"
